"""What a real daemon streams, and what it refuses because it is not as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.control.client import Client
from dsttool.engine.control.messages import Expect
from dsttool.engine.control.picture import DaemonPicture, Picture, Update
from dsttool.engine.control.place import Local
from dsttool.engine.control.watching import Watch
from dsttool.engine.vocabulary.errors import Conflict
from support.site import Site, wait_until


@pytest.fixture
def pool(site: Site) -> Path:
    """A mirror of two exports; the folder of control sockets."""
    for name in "ab":
        site.export(site.file(f"{name}.img", 1 << 20), name)
    site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean")
    return Path(site.env["DSTTOOL_RUNTIME_DIR"])


class Watched:
    """The picture of a site."""

    def __init__(self) -> None:
        self.picture = Picture()

    def __call__(self, update: Update) -> None:
        self.picture.apply(update)

    def daemon(self, name: str) -> DaemonPicture | None:
        place = self.picture.places.get("local")
        return None if place is None else place.daemons.get(name)

    def state_of(self, array: str) -> str:
        return next(
            (each.entry["state"] for each in self.picture.arrays() if each.entry["name"] == array), ""
        )

    def written(self, label: str) -> int:
        """Bytes of the seconds that were seen."""
        daemon = self.daemon(array_of(label))
        past = None if daemon is None else daemon.history.get(label)
        return 0 if past is None else sum(each or 0 for each in past.seconds.column("written_bytes"))


def array_of(label: str) -> str:
    return label.partition("/")[0]


@pytest.fixture
def watched(pool: Path) -> Iterator[Watched]:
    seen = Watched()
    watch = Watch([Local(pool)], seen)
    yield seen
    watch.close()


def test_what_happens_to_an_array_is_seen_as_it_happens(site: Site, watched: Watched) -> None:
    wait_until(lambda: all(watched.daemon(name) for name in ("a", "b", "pool")), "all are seen")
    site.dsttool("cp", site.file("data", 300_000, b"x" * 300_000), site.nbd("pool"))
    for label in ("pool", "pool/n0", "pool/n1"):  # rates: on a busy machine of a second that was much longer
        wait_until(lambda: watched.written(label) >= 30_000, f"what {label} has written is seen")  # noqa: B023
    site.dsttool("node", "suspend", "pool", "n1")
    wait_until(lambda: watched.state_of("pool") == "degraded", "the array is degraded")
    kinds = {found.entry["kind"] for found in watched.picture.events()}
    assert {"daemon.ready", "array.degraded", "member.suspended"} <= kinds
    assert watched.picture.worst(0) == "degraded"


def test_a_command_that_counts_on_what_is_not_so_any_more_changes_nothing(site: Site, pool: Path) -> None:
    with Client(pool / "pool.sock") as daemon:
        instance = daemon.call("hello")["instance"]
        refused: tuple[tuple[Expect, str], ...] = (
            ({"instance": "0" * 16}, "started again"),
            ({"instance": instance, "name": "other"}, "serves no array called other"),
            ({"name": "pool", "good": ["n0", "n7"]}, "n7 of pool is no good copy any more"),
        )
        for expect, says in refused:
            with pytest.raises(Conflict, match=says):
                daemon.call("node.suspend", node="n1", expect=expect)
        daemon.call("node.suspend", node="n1", expect={"instance": instance, "name": "pool", "good": ["n0"]})
        with pytest.raises(Conflict, match="n1 of pool is no good copy any more"):
            daemon.call("node.resume", node="n1", expect={"name": "pool", "good": ["n0", "n1"]})


def test_events_are_answered_from_an_id_on(site: Site, pool: Path) -> None:
    with Client(pool / "pool.sock") as daemon:
        first = daemon.call("events")
        assert [event["id"] for event in first["events"]] == list(range(1, len(first["events"]) + 1))
        last = first["events"][-1]["id"]
        daemon.call("node.suspend", node="n1")
        later = daemon.call("events", since_id=last)
        assert later["instance"] == first["instance"]
        assert "member.suspended" in [event["kind"] for event in later["events"]]
        assert later["events"][0]["id"] == last + 1
