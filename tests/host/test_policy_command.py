"""`policy show` and `policy set`: what holds, where it comes from, and changes that are whole or none."""

from pathlib import Path
from typing import Any

import pytest

from support.pool import MIB, Pool
from support.site import START_SECONDS, Site, wait_until


@pytest.fixture
def pool(site: Site) -> Pool:
    return Pool(site)


def sources(answer: dict[str, Any], key: str) -> list[tuple[Any, str]]:
    return [(node["policy"][key]["value"], node["policy"][key]["source"]) for node in answer["nodes"]]


def test_a_policy_comes_from_the_address_else_the_file_else_the_layout(site: Site) -> None:
    for name in ("left", "right"):
        site.dsttool("export", site.file(f"{name}.img", MIB), "-d")
    site.dsttool("array", "create", "pool", "--layout", "mirror", "--raw", "left", "right")
    path = Path(site.env["DSTTOOL_CONFIG_DIR"]) / "arrays/pool.toml"
    right = f"dst+unix:///right?socket={site.env['DSTTOOL_RUNTIME_DIR']}/right.dst&resends=3"
    path.write_text(
        path.read_text().replace('"right"', f'"{right}"') + '\n[policy]\nresends = 7\nbackoff_max = "3s"\n'
    )
    site.dsttool("array", "up", "pool")
    answer = site.json("policy", "show", "pool")
    assert (answer["schema"], answer["array"]) == ("dsttool.policy/1", "pool")
    assert [node["node"] for node in answer["nodes"]] == ["n0", "n1"]
    assert sources(answer, "resends") == [(7, "array"), (3, "address")]
    assert sources(answer, "backoff_max_ns") == [(3_000_000_000, "array")] * 2
    assert sources(answer, "resend_timeout_ns") == [(2_000_000_000, "default")] * 2
    assert [node["budget_ns"] for node in answer["nodes"]] == [16_000_000_000, 8_000_000_000]
    said = site.dsttool("policy", "set", "pool", "resends=1").stdout
    assert f"To keep it, write it under [policy] in {path}." in said
    site.dsttool("array", "down", "pool")
    site.dsttool("array", "up", "pool")  # what was set live is gone
    assert sources(site.json("policy", "show", "pool"), "resends") == [(7, "array"), (3, "address")]
    for name in ("pool", "left", "right"):
        site.dsttool("daemon", "stop", name)


def test_a_policy_set_live_is_shown_logged_and_said_not_to_last(pool: Pool) -> None:
    site = pool.site
    said = site.dsttool("policy", "set", "pool", "resend_timeout=500ms", "resends=2").stdout.splitlines()
    assert said == [
        "n0: resend_timeout 2s -> 500ms, resends 4 -> 2; a transaction fails after 1500ms (500ms x 3 sends)",
        "n1: resend_timeout 2s -> 500ms, resends 4 -> 2; a transaction fails after 1500ms (500ms x 3 sends)",
        "It holds until pool goes down. To keep it, write it into the nodes' addresses.",
    ]
    shown = site.dsttool("policy", "show", "pool/n1", "-o", "plain").stdout.splitlines()
    assert "n1\tresend_timeout\t500ms\tlive" in shown
    assert "n1\tping_misses\t3\tdefault" in shown
    assert len(shown) == 10
    assert "pool/n0: policy set: resend_timeout 2s -> 500ms, resends 4 -> 2" in pool.daemon.output


def test_a_policy_set_for_one_node_leaves_the_others(pool: Pool) -> None:
    answer = pool.site.json("policy", "set", "pool/n1", "on_exhausted=freeze", "window=8")
    assert [node["node"] for node in answer["nodes"]] == ["n1"]
    assert answer["changes"] == [
        {"node": "n1", "key": "on_exhausted", "before": "fail", "after": "freeze"},
        {"node": "n1", "key": "window", "before": "1024", "after": "8"},
    ]
    assert answer["file"] is None
    after = pool.site.json("policy", "show", "pool")
    assert sources(after, "on_exhausted") == [("fail", "default"), ("freeze", "live")]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("pool", "resends=1", "window=none"), 2, "window=none is wrong"),
        (("pool", "resends=1", "reesnds=2"), 2, "A policy has no key 'reesnds'."),
        (("pool", "resends=1", "links=2"), 8, "links of pool/n0 cannot be changed while it is connected."),
        (("pool", "resends=1", "backoff_min=20s"), 2, "backoff_min of pool/n0 (20s) would be longer"),
        (("pool", "resends=1", "resends=2"), 2, "'resends' is given twice."),
        (("pool", "resends"), 2, "'resends' sets nothing."),
        (("pool",), 2, "Missing argument 'KEY=VALUE...'"),
        (("pool/n7", "resends=1"), 3, "pool has no member called n7."),
        (("zzz", "resends=1"), 3, "Nothing called zzz is running."),
        (("left", "resends=1"), 8, "left is an export, and has no members."),
    ],
)
def test_a_policy_that_cannot_be_set_changes_nothing(
    pool: Pool, words: tuple[str, ...], code: int, said: str
) -> None:
    before = pool.site.json("policy", "show", "pool")
    what, advice = pool.site.dsttool("policy", "set", *words, code=code).stderr.rstrip("\n").split("\n")
    assert said in what
    assert advice
    assert pool.site.json("policy", "show", "pool") == before


def test_nodes_without_links_have_no_policy(site: Site) -> None:
    site.array("pool", "linear", "mem:1M")
    for words in (("show", "pool"), ("set", "pool", "resends=1")):
        assert "No member of pool has a link." in site.dsttool("policy", *words, code=8).stderr
    assert "n0 of pool has no link" in site.dsttool("policy", "show", "pool/n0", code=8).stderr
    site.export("mem:1M", "a")
    assert "a is an export, and has no members." in site.dsttool("policy", "show", "a", code=8).stderr


def test_a_shorter_budget_ends_what_waits_already(pool: Pool) -> None:
    pool.site.dsttool("policy", "set", "pool", "resend_timeout=10m")
    with pool.stopped(), pool.writing() as client:
        wait_until(lambda: pool.array()["in_flight"] > 0, "the write is under way")
        pool.site.dsttool("policy", "set", "pool/n1", "resend_timeout=100ms", "resends=1")
        assert client.wait(START_SECONDS) == 0  # else it would wait for many times that
        assert pool.states()[0] == "in_sync"
        assert pool.states()[1] != "in_sync"
