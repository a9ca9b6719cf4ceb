"""The end of devices: what was acked reaches stable storage, then they are released."""

import os
from collections.abc import Sequence
from typing import Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import FLUSH

# A flush may have to write whatever the page cache holds; past this the medium is taken for stuck.
FLUSH_NS: Final = 60 * limits.SECOND
# Closing waits for what still runs, and for peers to take leave.
CLOSE_NS: Final = 60 * limits.SECOND


def flush_all(reactor: Reactor, devices: Sequence[Device]) -> list[str]:
    """Flush every device that can be written and has something to flush; what went wrong.

    One that has ended for good is not asked: it may not even answer (an array with another writer does not).
    """
    failures: list[str] = []
    waiting: set[str] = set()

    def flushed(requests: list[Request]) -> None:
        for request in requests:
            waiting.discard(request.cookie)
            if request.error:
                failures.append(f"flush of {request.cookie}: {os.strerror(request.error)}")

    for device in devices:
        if device.failure is not None:
            failures.append(f"no flush of {device.name}: {device.failure.what}")
        elif device.capabilities.flush and not device.capabilities.read_only:
            waiting.add(device.name)
            device.submit([Request(FLUSH, 0, 0, 0, None, device.name, flushed)])
    if not reactor.run_until(lambda: not waiting, FLUSH_NS):
        failures += [f"flush of {name}: no answer in time" for name in waiting]
    return failures


def close_all(reactor: Reactor, devices: Sequence[Device], patience_ns: int = CLOSE_NS) -> bool:
    """Close devices; False if one of them does not end in time."""
    left = len(devices)

    def closed() -> None:
        nonlocal left
        left -= 1

    for device in devices:
        device.close(closed)
    return reactor.run_until(lambda: left == 0, patience_ns)
