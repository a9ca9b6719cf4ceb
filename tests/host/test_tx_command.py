"""`tx list` and `tx show`: what waits for an answer, and how long it still may."""

import json
from typing import Any

import pytest

from support.pool import MIB, Pool
from support.site import Site, wait_until

# Longer than all of a test takes on any machine.
TIMEOUT, BUDGET_NS = "resend_timeout=10m", 5 * 600 * 10**9


@pytest.fixture
def pool(site: Site) -> Pool:
    return Pool(site)


def waiting(pool: Pool) -> list[dict[str, Any]]:
    return pool.site.json("tx", "list", "pool")["transactions"]  # type: ignore[no-any-return]


def test_a_transaction_that_waits_is_listed_with_what_is_left_of_its_budget(pool: Pool) -> None:
    site = pool.site
    assert site.json("tx", "list", "pool") == {
        "schema": "dsttool.transactions/1",
        "total": 0,
        "states": {},
        "transactions": [],
    }
    site.dsttool("policy", "set", "pool", TIMEOUT)
    with pool.stopped(), pool.writing("1M", "64K"):
        wait_until(lambda: len(waiting(pool)) == 1, "the write waits for one member")
        answer = site.json("tx", "list", "pool")
        (entry,) = answer["transactions"]
        assert set(entry) == {
            "id",
            "op",
            "flags",
            "offset",
            "length",
            "node",
            "state",
            "age_ns",
            "attempts",
            "attempts_max",
            "next_resend_ns",
            "budget_ns",
            "budget_left_ns",
            "client",
        }
        assert (entry["op"], entry["offset"], entry["length"]) == ("WRITE", MIB, 64 << 10)
        assert (entry["node"], entry["flags"], entry["attempts"]) == ("pool/n1", ["FUA"], 1)
        assert entry["attempts_max"] == 5
        assert entry["budget_ns"] == BUDGET_NS
        assert 0 < entry["budget_left_ns"] < BUDGET_NS
        assert [session["peer"] for session in pool.array()["sessions"]] == [entry["client"]]
        assert abs(entry["budget_left_ns"] + entry["age_ns"] - BUDGET_NS) < 1_000_000
        assert (answer["total"], answer["states"]) == (1, {entry["state"]: 1})
        assert site.json("tx", "list", "pool/n1")["total"] == 1
        assert site.json("tx", "list", "pool/n0")["total"] == 0
        (lines,) = site.dsttool("tx", "list", "pool", "-o", "jsonl").stdout.splitlines()
        assert json.loads(lines)["id"] == entry["id"]
        table = site.dsttool("tx", "list", "pool").stdout.splitlines()
        assert table[0].split()[:4] == ["TX", "OP", "FLAGS", "OFFSET"]
        assert table[1].split()[:4] == [str(entry["id"]), "WRITE", "FUA", "0x100000"]
        assert table[2].startswith("1 ")
        assert site.json("tx", "show", "pool", entry["id"])["transactions"][0]["offset"] == MIB
        shown = site.dsttool("tx", "show", "pool/n1", entry["id"]).stdout
        assert "WRITE" in shown
        assert "64 KiB at 0x100000" in shown
    wait_until(lambda: waiting(pool) == [], "the write is answered")
    assert site.dsttool("tx", "list", "pool").stdout == "No transaction waits for an answer.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "pool", "77"), 3, "pool has no transaction 77 without an answer."),
        (("show", "pool/n1", "77"), 3, "pool/n1 has no transaction 77 without an answer."),
        (("show", "pool", "x"), 2, "'x' is no number of a transaction."),
        (("show", "pool"), 2, "Missing argument 'ID'"),
        (("show", "zzz", "1"), 3, "Nothing called zzz is running."),
        (("list", "zzz"), 3, "Nothing called zzz is running."),
        (("list", "pool/-x"), 2, "'-x' cannot be a name."),
    ],
)
def test_a_transaction_that_cannot_be_shown_is_an_error(
    site: Site, words: tuple[str, ...], code: int, said: str
) -> None:
    site.array("pool", "linear", "mem:1M")
    what, advice = site.dsttool("tx", *words, code=code).stderr.rstrip("\n").split("\n")
    assert said in what
    assert advice


def test_a_daemon_that_does_not_answer_is_left_out_of_the_list_of_everything(pool: Pool) -> None:
    pool.site.dsttool("policy", "set", "pool", TIMEOUT)
    with pool.stopped(), pool.writing():
        wait_until(lambda: len(waiting(pool)) == 1, "the write waits for one member")
        done = pool.site.dsttool("tx", "list", "--json", "--timeout", "3s")
        assert json.loads(done.stdout)["total"] == 1
        assert "The daemon right did not answer within 3 s." in done.stderr


def test_the_transactions_of_everything_are_listed_without_a_name(site: Site) -> None:
    assert site.json("tx", "list")["total"] == 0
    site.export("mem:1M", "a")
    site.array("pool", "linear", "mem:1M")
    assert site.json("tx", "list")["transactions"] == []
    assert site.json("tx", "list", "a")["total"] == 0
