"""Opening an array's members while some of them may still have to come.

Machines that lost their power together do not come back together.
"""

import logging
from collections.abc import Sequence
from typing import Final

from dsttool.engine.device.device import Device
from dsttool.engine.host import service
from dsttool.engine.host.open_node import Opening, open_all
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, TimedOut, Unreachable

LOG = logging.getLogger(__name__)

# Why a member is not there, if time may bring it.
MISSING: Final = (Unreachable, NotFound, TimedOut)
# Between two attempts.
AGAIN_NS: Final = 1 * limits.SECOND


def open_patiently(
    reactor: Reactor, openings: Sequence[Opening], wait_ns: int
) -> list[Device | DsttoolError]:
    """As `open_all`; devices that are missing are tried again for `wait_ns`.

    What waiting does not help against ends it at once, as does a device that was there and has ended.
    """
    results = open_all(reactor, openings)
    until = reactor.now + wait_ns
    said = ""
    while reactor.now < until and not any(_is_final(result) for result in results):
        missing = [index for index, result in enumerate(results) if isinstance(result, MISSING)]
        if not missing:
            break
        reasons = " ".join(f"{openings[index].name}: {results[index]}" for index in missing)
        if reasons != said:  # once per reason, not once per attempt
            said = reasons
            LOG.warning("waiting for what is missing: %s", reasons)
            service.notify_status(f"Waiting for {reasons}")
        reactor.run_until(lambda: False, min(AGAIN_NS, until - reactor.now))
        for index, result in zip(missing, open_all(reactor, [openings[index] for index in missing])):
            results[index] = result
        results = [_still(result) for result in results]
    return results


def _still(result: Device | DsttoolError) -> Device | DsttoolError:
    """The device, or why it has ended for good."""
    return result if isinstance(result, DsttoolError) or result.failure is None else result.failure


def _is_final(result: Device | DsttoolError) -> bool:
    return isinstance(result, DsttoolError) and not isinstance(result, MISSING)
