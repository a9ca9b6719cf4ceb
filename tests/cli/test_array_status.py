"""What people are told of an array: state, what it means, what to do, what runs; in that order."""

from typing import Any

import pytest

from dsttool.cli import array_status
from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.status import ArrayStatus, JobStatus, LinkStatus, MemberStatus, SessionStatus


def link(state: str = "up", security: str | None = "none") -> LinkStatus:
    return {"state": state, "security": security, "rtt_ns": 120_000, "connects": 1, "since_ns": 5}


def member(slot: int, state: str = "in_sync", **other: Any) -> MemberStatus:
    made: MemberStatus = {
        "slot": slot,
        "name": f"n{slot}",
        "address": f"dst://h{slot}/d",
        "state": state,
        "size_bytes": 8 << 20,
        "reason": None,
        "in_flight": 0,
        "resends": 0,
        "errors": 0,
        "dirty_bytes": 0,
        "resynced_bytes": 0,
        "link": link(),
    }
    made.update(other)  # type: ignore[typeddict-item]
    return made


def array(state: str, *members: MemberStatus, **other: Any) -> ArrayStatus:
    made: ArrayStatus = {
        "name": "pool",
        "layout": "mirror",
        "state": state,
        "size_bytes": 8 << 20,
        "read_only": False,
        "in_flight": 3,
        "reads": 1,
        "writes": 2,
        "read_bytes": 1024,
        "written_bytes": 2048,
        "errors": 0,
        "addresses": ["nbd+unix:///?socket=/s"],
        "jobs": [],
        "members": list(members),
        "sessions": [],
    }
    made.update(other)  # type: ignore[typeddict-item]
    return made


def shown(capsys: pytest.CaptureFixture[str], entry: ArrayStatus, *, clients: bool = False) -> list[str]:
    array_status.show_array(Settings(), entry, clients=clients)
    return capsys.readouterr().out.splitlines()


def words(line: str) -> str:
    return " ".join(line.split())


def test_a_healthy_array_needs_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, array("online", member(0), member(1)))
    assert lines[0] == "pool  online: every member is in sync."
    assert lines[1] == "mirror, 8 MiB; 3 in flight, 1 KiB read, 2 KiB written, 0 errors; 0 clients"
    assert words(lines[2]) == "SLOT MEMBER STATE SIZE DIRTY LINK RTT IN FLIGHT RESENT ERRORS ADDRESS"
    assert words(lines[3]) == "0 n0 in sync 8 MiB 0 B up 0.12 ms 0 0 0 dst://h0/d"
    assert lines[5:] == ["at nbd+unix:///?socket=/s"]


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("stale", "n1 missed writes: they are copied to it as soon as it is there and connected."),
        ("resyncing", "n1 missed writes, which are being copied to it: dsttool wait pool --for clean"),
        ("rebuilding", "n1 is being filled: dsttool wait pool --for clean"),
        ("suspended", "n1 is suspended and gets no requests: dsttool node resume pool n1"),
        ("missing", "n1 is not there: bring back what is at dst://h1/d."),
        (
            "faulty",
            "n1 has ended for good: The export has shrunk. Bring it back, then restart pool: "
            "dsttool array down pool, dsttool array up pool",
        ),
    ],
)
def test_each_member_that_is_not_in_sync_has_its_advice(
    capsys: pytest.CaptureFixture[str], state: str, advice: str
) -> None:
    reason = "The export has shrunk." if state == "faulty" else None
    lines = shown(capsys, array("degraded", member(0), member(1, state, reason=reason)))
    assert lines[0].startswith("pool  degraded: it serves from the members that are in sync")
    assert lines[1] == advice
    assert lines[2].startswith("mirror")


def test_a_member_in_sync_that_cannot_be_reached_is_not_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown(capsys, array("online", member(0), member(1, link=link("connecting"))))
    assert lines[1] == (
        "n1 cannot be reached: what needs it waits as long as its budget lasts. "
        "Bring back what is at dst://h1/d."
    )
    assert lines[2].startswith("mirror")


def test_a_stale_member_says_what_it_waits_for_or_fails_at(capsys: pytest.CaptureFixture[str]) -> None:
    away = member(1, "stale", link=link("down"), reason="Link has been severed")
    full = member(1, "stale", reason="No space left on device")
    assert shown(capsys, array("degraded", member(0), away))[1] == (
        "n1 missed writes and cannot be reached: bring back what is at dst://h1/d, and they are copied to it."
    )
    assert shown(capsys, array("degraded", member(0), full))[1] == (
        "n1 missed writes, and copying them to it fails: No space left on device. "
        "Mend what is at dst://h1/d: it is tried again by itself."
    )


@pytest.mark.parametrize(
    ("job", "was"),
    [("stopped", "was stopped: it gets nothing"), ("paused", "is paused: they are not copied")],
)
def test_nobody_is_told_to_wait_for_a_resync_that_does_not_go_on(
    capsys: pytest.CaptureFixture[str], job: str, was: str
) -> None:
    held: Any = {
        "kind": "resync",
        "member": "n1",
        "state": job,
        "done_bytes": 0,
        "total_bytes": 8,
        "rate_bytes": 0,
    }
    entry = array("degraded", member(0), member(1, "resyncing"), jobs=[{**held, "eta_ns": None}])
    advice = f"n1 missed writes, and its resync {was} until dsttool resync start pool"
    assert shown(capsys, entry)[1] == advice


def test_a_fenced_array_is_told_from_one_that_waits_for_somebody_to_act(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fenced = shown(capsys, array("frozen", member(0), member(1, "faulty", reason="Another writer.")))
    assert fenced[1].startswith("Another writer has taken n1 over.")
    assert fenced[1].endswith("dsttool array down pool")
    frozen = shown(capsys, array("frozen", member(0), member(1, link=link("connecting"))))
    assert frozen[1].startswith("Requests on n1 had no answer within their budget.")
    assert frozen[1].endswith("dsttool policy set pool/n1 on_exhausted=fail")


def test_jobs_show_how_far_they_are_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    job: JobStatus = {
        "kind": "resync",
        "state": "running",
        "done_bytes": 3 << 20,
        "total_bytes": 8 << 20,
        "rate_bytes": 1 << 20,
        "eta_ns": 5_000_000_000,
    }
    waiting: JobStatus = {**job, "state": "paused", "total_bytes": None, "rate_bytes": None, "eta_ns": None}
    lines = shown(capsys, array("degraded", member(0), member(1, "resyncing"), jobs=[job, waiting]))
    assert "resync running: 3 MiB of 8 MiB (38%), 1 MiB/s, 5s left" in lines
    assert "resync paused: 3 MiB" in lines


def test_what_is_dirty_and_what_protects_a_link_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        array(
            "degraded",
            member(0, link=link(security="aes256gcm")),
            member(1, "resyncing", dirty_bytes=1 << 20),
            member(2, "missing", size_bytes=None, dirty_bytes=None, link=None),
        ),
    )
    rows = [line for line in lines if "dst://h" in line and "bring" not in line]
    assert "up (aes256gcm)" in rows[0]
    assert "1 MiB" in rows[1]
    assert rows[2].split()[:6] == ["2", "n2", "missing", "-", "-", "-"]


def test_clients_are_shown_to_who_asks_for_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    session: SessionStatus = {
        "peer": "10.0.0.7:51522",
        "owner": "array vm",
        "protocol": "dst",
        "access": "read-write",
        "links": 4,
        "in_flight": 2,
    }
    entry = array("online", member(0), sessions=[session])
    assert "1 client" in shown(capsys, entry)[1]
    lines = shown(capsys, entry, clients=True)
    assert words(lines[-2]) == "CLIENT OWNER PROTOCOL ACCESS LINKS IN FLIGHT"
    assert words(lines[-1]) == "10.0.0.7:51522 array vm dst read-write 4 2"
