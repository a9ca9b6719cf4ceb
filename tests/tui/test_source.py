"""What happens between the thread that watches and the one that draws."""

import threading

import pytest

from dsttool.engine.control import clock
from dsttool.engine.control.place import Names
from dsttool.engine.vocabulary.errors import Unreachable
from dsttool.tui.source import ARRIVED_MAX, Live, frozen
from support.site import wait_until
from tui import frames


def test_a_screen_that_is_stuck_does_not_gather_frames_for_ever() -> None:
    source = Live([])
    hello = frames.Speaker().hello()
    taking = threading.Thread(target=lambda: [source._take(hello) for _ in range(ARRIVED_MAX + 1)])
    taking.start()
    wait_until(lambda: len(source._arrived) == ARRIVED_MAX, "as many as there is room for")
    assert taking.is_alive()
    assert source.advance()
    taking.join(20)
    assert len(source._arrived) == 1


def test_closing_lets_go_of_the_thread_that_waits() -> None:
    source = Live([])
    hello = frames.Speaker().hello()
    taking = threading.Thread(target=lambda: [source._take(hello) for _ in range(ARRIVED_MAX + 1)])
    taking.start()
    wait_until(lambda: len(source._arrived) == ARRIVED_MAX, "as many as there is room for")
    source.close()
    taking.join(20)
    assert not taking.is_alive()


class _Away:
    """A place that cannot be reached."""

    name = "box"

    def names(self) -> Names:
        raise Unreachable("No route to host.", "Switch it on.")


def test_what_is_shown_is_as_old_as_it_is_though_the_machine_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    hour = 3600 * frames.SECOND
    boot_ns = hour
    monkeypatch.setattr(clock, "now_ns", lambda: boot_ns)
    source = Live([_Away()])  # type: ignore[list-item]
    source.start(lambda: None)
    try:
        wait_until(source.advance, "the place is lost")
        boot_ns += 8 * hour
        since_ns = source.picture.places["box"].lost_since_ns
        assert since_ns is not None
        assert source.now_ns() - since_ns == 8 * hour
    finally:
        source.close()


def test_a_frozen_picture_does_not_follow() -> None:
    source = frames.mirror_in_trouble()
    source.advance()
    still = frozen(source.picture)
    pool = frames.Speaker()
    source.say(
        pool.delta((["arrays", "pool", "state"], "failed"), sampled=True), pool.event(50), pool.lost("gone")
    )
    source.advance()
    assert source.picture.worst(0) == "failed"
    assert still.worst(0) == "degraded"
    daemon = still.places["local"].daemons["pool"]
    assert daemon.lost_since_ns is None
    assert daemon.events[-1]["id"] == 6
    assert daemon.history["pool"].seconds.end_ns == frames.BEGAN_NS
