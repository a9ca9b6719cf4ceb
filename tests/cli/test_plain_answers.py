"""`-o plain` is for scripts: tabs, and the figures that JSON has, without units for people."""

from typing import Any

import pytest

from dsttool.cli import copy, iostat, render, resync, serving, tx
from dsttool.cli.settings import Settings

PLAIN = Settings(format="plain")
S = 10**9


def cells(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_a_figure_is_a_bare_number_for_scripts() -> None:
    assert render.figure(PLAIN, 64 << 20, str) == "67108864"
    assert render.figure(PLAIN, 1.6, str) == "2"
    assert render.figure(PLAIN, None, str) == "-"
    assert render.size(PLAIN, 64 << 20) == "67108864"
    assert render.size(Settings(), 64 << 20) == "64 MiB"
    assert render.size(Settings(), None) == "-"


def test_plain_transactions_have_bytes_and_nanoseconds(capsys: pytest.CaptureFixture[str]) -> None:
    row: Any = {"id": 7, "op": "write", "flags": ["fua"], "offset": 65536, "length": 4096, "node": "pool/n0"}
    row |= {"state": "in_flight", "age_ns": 3 * S, "attempts": 2, "attempts_max": 5}
    row |= {"next_resend_ns": None, "budget_left_ns": S // 2}
    tx._table(PLAIN, [row])
    assert cells(capsys) == [
        ["7", "write", "fua", "65536", "4096", "pool/n0", "in_flight", "3000000000", "2/5", "-", "500000000"]
    ]


def test_plain_resyncs_have_bytes_and_nanoseconds(capsys: pytest.CaptureFixture[str]) -> None:
    job = {"kind": "resync", "member": "b", "state": "running", "done_bytes": 1 << 20, "total_bytes": 2 << 20}
    job |= {"rate_bytes": 3 << 20, "eta_ns": 5 * S}
    answer = {"jobs": [job], "paused": False, "floor_bytes": 1 << 20, "ceiling_bytes": None}
    resync._show(PLAIN, "pool", answer)
    assert cells(capsys) == [["resync", "b", "running", "1048576", "2097152", "3145728", "5000000000"]]


def test_plain_rates_are_bytes_a_second_and_latencies_nanoseconds() -> None:
    row: Any = {"place": "local", "label": "pool/b", "kind": "member", "state": "in_sync", "reads": 1.5}
    row |= {"writes": 2.0, "read_bytes": 3.0 * (1 << 20), "written_bytes": None, "in_flight": 4}
    row |= {"p50_ns": 1_500_000, "p99_ns": None, "errors": 0, "resends": None}
    shown = iostat._cells(PLAIN, row, several=False)
    assert shown == ("pool/b", "in_sync", "1.5", "2.0", "3145728", "-", "4", "1500000", "-", "0", "-")


def test_what_was_copied_is_plain_bytes_and_nanoseconds(capsys: pytest.CaptureFixture[str]) -> None:
    copy._say(PLAIN, 64 << 20, 1 << 20, 0.5)
    assert cells(capsys) == [["67108864", "1048576", "500000000"]]


def test_what_is_served_is_a_plain_line_for_each_address(capsys: pytest.CaptureFixture[str]) -> None:
    served = {"name": "a", "size_bytes": 1 << 20, "addresses": ["nbd://h/a", "dst://h/a"]}
    report: Any = {"name": "a", "pid": 1, "serves": [served], "remarks": [], "invites": []}
    serving.report_ready(PLAIN, [report])
    assert cells(capsys) == [["a", "1048576", "nbd://h/a"], ["a", "1048576", "dst://h/a"]]
