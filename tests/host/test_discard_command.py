"""`array discard`, `array delete` and `resync stop`, with real daemons."""

import pytest

from support.site import Site, wait_until
from support.terminal import in_terminal

SIZE = 4 << 20


@pytest.fixture
def pool(site: Site) -> Site:
    """A configured mirror that is up, over two exports of files."""
    for name in ("a", "b"):
        site.export(site.file(f"{name}.img", SIZE, b"good"), name)
    site.dsttool(
        *("array", "create", "pool", "--layout", "mirror", "--raw"),
        site.dst("a") + "&name=a",
        site.dst("b") + "&name=b",
    )
    site.dsttool("array", "up", "pool")
    return site


def down(site: Site) -> None:
    site.dsttool("array", "down", "pool", "-q")


def member(site: Site, name: str) -> dict[str, object]:
    members = {each["name"]: each for each in site.json("node", "list", "pool")["members"]}
    found: dict[str, object] = members[name]
    return found


def test_a_discarded_member_is_refilled_while_the_array_serves(pool: Site) -> None:
    with pool.path("b.img").open("r+b") as image:
        image.write(b"evil" * 1024)
    answer = pool.json("array", "discard", "pool", "b", "--confirm", "pool")
    assert answer["schema"] == "dsttool.nodes/1"
    assert answer["members"][0]["state"] in ("stale", "resyncing", "in_sync")
    pool.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")
    assert pool.path("b.img").read_bytes() == pool.path("a.img").read_bytes()
    assert member(pool, "b")["resynced_bytes"] == SIZE
    down(pool)


def test_what_is_overwritten_and_what_is_left_is_shown_before_a_name_is_asked_for(pool: Site) -> None:
    lines = pool.dsttool("array", "discard", "pool", "b", "-y", code=6).stderr.splitlines()
    assert lines[0].startswith("All of b of pool (dst+unix:")
    assert lines[0].endswith("is declared void, and overwritten: 4 MiB.")
    assert lines[1:3] == [
        "1 good copy is left until that is done: a.",
        "It is all there is until then: if it is lost, so is what it holds.",
    ]
    assert lines[-1] == "Add --confirm=pool to go ahead."
    assert member(pool, "b")["resynced_bytes"] == 0
    assert in_terminal(pool, "array", "discard", "pool", "b", typed="yes\n")[0] == 6
    assert in_terminal(pool, "array", "discard", "pool", "b", typed="pool\n")[0] == 0
    wait_until(lambda: member(pool, "b")["resynced_bytes"] == SIZE, "it is refilled")
    down(pool)


def test_a_dry_run_says_what_would_be_overwritten(pool: Site) -> None:
    said = pool.dsttool("array", "discard", "pool", "b", "--dry-run").stdout
    assert said == "would declare all of b of pool void, and copy 4 MiB onto it from a\n"
    down(pool)


def test_the_last_good_copy_is_not_discarded_and_nobody_is_asked(pool: Site) -> None:
    pool.dsttool("node", "suspend", "pool", "a")
    said = pool.dsttool("array", "discard", "pool", "b", "--confirm", "pool", code=6).stderr
    assert "Member b of pool is the last good copy" in said
    assert "Did you mean b?" in pool.dsttool("array", "discard", "pool", "bb", code=3).stderr
    down(pool)


def test_a_member_of_an_array_that_is_down_is_discarded_when_it_comes_up(pool: Site) -> None:
    down(pool)
    said = pool.dsttool("array", "discard", "pool", "b", code=8).stderr
    assert "pool is down" in said
    assert "dsttool array up pool --resync-from OTHER" in said
    assert "Nothing called pol" in pool.dsttool("array", "discard", "pol", "b", code=3).stderr


def test_a_stopped_resync_is_shown_and_stays_stopped_until_it_is_started(pool: Site) -> None:
    pool.dsttool("resync", "limit", "pool", "--floor", "64K", "--ceiling", "64K")
    pool.dsttool("array", "discard", "pool", "b", "--confirm", "pool")
    stopped = pool.json("resync", "stop", "pool", "b")
    assert [(job["member"], job["state"]) for job in stopped["jobs"]] == [("b", "stopped")]
    assert member(pool, "b")["state"] == "stale"
    shown = pool.dsttool("status", "pool").stdout
    assert "resync stopped" in shown
    assert "dsttool resync start pool" in shown
    pool.dsttool("resync", "limit", "pool", "--floor", "1M", "--ceiling", "0")
    assert pool.json("resync", "status", "pool")["jobs"][0]["state"] == "stopped"
    pool.dsttool("resync", "start", "pool")
    pool.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")
    assert pool.json("resync", "status", "pool")["jobs"] == []
    assert "No member of pool needs a resync." in pool.dsttool("resync", "stop", "pool", code=8).stderr
    assert "Member b of pool is in sync." in pool.dsttool("resync", "stop", "pool", "b", code=8).stderr
    down(pool)


def test_an_array_that_is_up_is_not_deleted(pool: Site) -> None:
    assert "pool is up." in pool.dsttool("array", "delete", "pool", "--confirm", "pool", code=8).stderr
    down(pool)


def test_a_deleted_array_is_remembered_until_it_is_forgotten(pool: Site) -> None:
    down(pool)
    file, state = pool.path("config/arrays/pool.toml"), pool.path("state/arrays/pool.json")
    lines = pool.dsttool("array", "delete", "pool", code=6).stderr.splitlines()
    assert lines[0] == f"The configuration of pool is removed: {file}."
    assert lines[1].startswith("What its nodes hold stays as it is: dst+unix:")
    assert lines[2] == f"It stays remembered that all members hold the same: {state}."
    assert file.exists()
    said = pool.dsttool("array", "delete", "pool", "--dry-run", "--forget").stdout
    assert said == f"would remove {file}\nwould remove {state}\n"

    assert pool.json("array", "delete", "pool", "--confirm", "pool") == {
        "schema": "dsttool.deleted/1",
        "name": "pool",
        "configuration": str(file),
        "state": None,
    }
    assert (
        "No array named 'pool'" in pool.dsttool("array", "delete", "pool", "--confirm", "pool", code=3).stderr
    )
    assert state.exists()
    answer = pool.json("array", "delete", "pool", "--forget", "--confirm", "pool")
    assert (answer["configuration"], answer["state"]) == (None, str(state))
    assert not state.exists()


def test_forgetting_says_which_members_would_be_trusted_wrongly(pool: Site) -> None:
    pool.dsttool("node", "suspend", "pool", "b")
    down(pool)
    lines = pool.dsttool("array", "delete", "pool", "--forget", code=6).stderr
    assert (
        "b.dst missed writes" in lines.replace("socket=", "").replace("%2F", "/") or "missed writes" in lines
    )
    assert "would then be taken for as good as the others." in lines


def test_an_array_whose_file_is_wrong_can_be_deleted(pool: Site) -> None:
    down(pool)
    pool.path("config/arrays/pool.toml").write_text("layout = ")
    pool.dsttool("array", "delete", "pool", "--confirm", "pool")
    assert not pool.path("config/arrays/pool.toml").exists()


def test_arrays_that_are_made_of_it_are_named(pool: Site) -> None:
    down(pool)
    pool.dsttool("array", "create", "tree", "--layout", "linear", "--raw", "pool", "mem:1M")
    lines = pool.dsttool("array", "delete", "pool", code=6).stderr
    assert "The array tree is made of pool, and will not come up." in lines
