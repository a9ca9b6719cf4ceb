"""Members that are waited for while an array comes up."""

from collections.abc import Sequence

import pytest

from dsttool.engine.config.address import parse_address
from dsttool.engine.device.device import Device
from dsttool.engine.host import patience
from dsttool.engine.host.open_node import Opening
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError, Fenced, Unreachable
from dsttool.engine.vocabulary.limits import MS, SECOND
from support.faulty_device import FaultyDevice

LONG = 10**6 * SECOND


def test_a_member_that_ends_for_good_while_others_are_waited_for_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the array would come up, and serve, with a member that another one has taken over."""
    monkeypatch.setattr(patience, "AGAIN_NS", MS)
    reactor = Reactor(io_threads=1)
    here = FaultyDevice(reactor, 4096, "here")
    openings = [Opening(parse_address(text), name=text) for text in ("./here", "./there")]
    attempts = 0

    def open_all(_: Reactor, openings: Sequence[Opening]) -> list[Device | DsttoolError]:
        nonlocal attempts
        attempts += 1
        assert attempts < 9, "it goes on waiting"
        if attempts == 3:
            here.failure = Fenced("Another one writes.")
        missing = Unreachable("Nobody is there.")
        return [here, missing] if len(openings) == 2 else [missing]

    monkeypatch.setattr(patience, "open_all", open_all)
    first, second = patience.open_patiently(reactor, openings, LONG)
    assert first is here.failure
    assert isinstance(second, Unreachable)
    assert attempts == 3
    reactor.close()
