"""What the log says of a node's connection: each reason once, and how long it was away."""

import logging

import pytest

from dsttool.engine.node.link_story import LinkStory
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import Unreachable
from dsttool.engine.vocabulary.limits import MS, SECOND


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_a_link_that_returns_says_how_long_it_was_away(said: pytest.LogCaptureFixture) -> None:
    clock = Reactor()
    story = LinkStory(clock, "pool/n0")
    story.up(first=True, waiting=0)
    story.down(Unreachable("No route."), last=True)
    clock.now += 1234 * MS
    story.down(Unreachable("No route."), last=True)
    clock.now += 8 * SECOND
    story.up(first=True, waiting=3)
    assert said.messages == [
        "pool/n0: connected, 0 requests wait",
        "pool/n0: No route.",
        "pool/n0: connected again after 9234 ms, 3 requests wait",
    ]
    assert [record.event_kind for record in said.records] == ["link.up", "link.lost", "link.up"]  # type: ignore[attr-defined]
    clock.close()


def test_while_another_link_is_up_the_node_is_not_away(said: pytest.LogCaptureFixture) -> None:
    clock = Reactor()
    story = LinkStory(clock, "pool/n0")
    story.down(Unreachable("Reset."), last=False)
    story.up(first=False, waiting=3)
    assert said.messages == ["pool/n0: Reset."]
    assert story.reason == ""
    clock.close()


def test_a_server_that_throws_us_out_as_fast_as_it_can_fills_no_log(said: pytest.LogCaptureFixture) -> None:
    clock = Reactor()
    story = LinkStory(clock, "pool/n0")
    for _ in range(1000):
        story.up(first=True, waiting=0)
        story.down(Unreachable("Out."), last=True)
    assert len(said.messages) == 2 * limits.LOG_LINES_PER_PERIOD
    story.end()
    assert said.messages[-1] == "990 more lines like these (lost) are left out"
    clock.close()
