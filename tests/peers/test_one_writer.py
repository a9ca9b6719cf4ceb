"""One writer at a time, with real processes: arrays that are killed, that come twice, that take over."""

import pytest

from dsttool.engine.vocabulary.operations import WRITE
from support.raw_dst import RawDst, batch, head
from support.site import Daemon, Site, wait_until

SIZE = 8 << 20


@pytest.fixture
def exported(site: Site) -> Site:
    """Two files, exported."""
    for name in ("d0", "d1"):
        site.export(site.file(f"{name}.img", SIZE), name)
    return site


def array_up(site: Site, name: str, *options: object, code: int) -> str:
    """Bring a linear array over both exports up, detached; what it said."""
    nodes = (site.dst("d0"), site.dst("d1"))
    words = ("array", "up", name, "--layout", "linear", "--raw", *nodes, *options)
    done = site.dsttool(*words, code=code)
    return done.stdout + done.stderr


def write(site: Site, name: str, byte: int) -> None:
    site.run("qemu-io", "-f", "raw", "-c", f"write -P {byte} 0 64k", "-c", "flush", site.nbd(name))


def state(site: Site, name: str) -> str:
    (array,) = site.json("status", name)["arrays"]
    return str(array["state"])


def linear(site: Site, name: str) -> Daemon:
    return site.array(name, "linear", site.dst("d0"), site.dst("d1"))


def test_an_array_that_was_killed_is_admitted_again_at_once_and_another_owner_is_not(exported: Site) -> None:
    first = linear(exported, "a")
    write(exported, "a", 1)
    first.kill()
    said = array_up(exported, "b", code=8)
    assert "is written by uid" in said
    linear(exported, "a")
    exported.run("qemu-io", "-f", "raw", "-r", "-c", "read -P 1 0 64k", exported.nbd("a"))


def test_an_array_that_was_stopped_leaves_its_nodes_to_anybody(exported: Site) -> None:
    linear(exported, "a").stop()
    linear(exported, "b")


def test_a_takeover_fences_the_other_array_which_never_writes_again(exported: Site) -> None:
    linear(exported, "a")
    write(exported, "a", 1)
    array_up(exported, "b", "--takeover", "--confirm", "b", code=0)
    try:
        wait_until(lambda: state(exported, "a") in ("frozen", "failed"), "a hears that it is fenced")
        late = ("qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", exported.nbd("a"))
        assert exported.run("timeout", "2", *late, code=None).returncode != 0
        assert exported.path("d0.img").read_bytes()[: 64 << 10] == bytes([1]) * (64 << 10)
    finally:
        exported.dsttool("array", "down", "b")


def test_a_restarted_export_knows_who_may_write(exported: Site) -> None:
    linear(exported, "a")
    exported.daemons[0].kill()
    exported.export(exported.path("d0.img"), "d0")
    assert "is written by uid" in array_up(exported, "b", code=8)
    write(exported, "a", 2)


def test_a_shared_export_has_several_writers(site: Site) -> None:
    site.export(site.file("d0.img", SIZE), "d0", "--shared")
    with RawDst(site.path("d0.dst")) as first, RawDst(site.path("d0.dst")) as second:
        for client in (first, second):
            client.connect("d0", array=client.session)
            client.socket.sendall(batch(head(WRITE, 0, 4) + b"data", 1))
            assert client.replies() == [(1, 0)]


def test_an_array_that_is_shared_has_several_writers(exported: Site) -> None:
    exported.array("a", "linear", exported.dst("d0"), exported.dst("d1"), "--shared")
    with RawDst(exported.path("a.dst")) as first, RawDst(exported.path("a.dst")) as second:
        for client in (first, second):
            assert client.connect("a", array=client.session).term == 0


def test_a_damaged_state_file_is_refused_and_never_taken_for_none(site: Site) -> None:
    daemon = site.export(site.file("d0.img", SIZE), "d0")
    write(site, "d0", 1)
    daemon.stop()
    state = site.folder / "state" / "exports" / "d0.json"
    state.write_text("{")
    done = site.dsttool("export", site.path("d0.img"), "--name", "d0", "-d", code=1)
    assert f"{state} is damaged" in done.stderr
    assert "move the file away" in done.stderr
    assert state.read_text() == "{"
