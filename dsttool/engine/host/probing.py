"""Whether what is behind addresses can be reached, all of them at the same time; nothing is changed there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsttool.engine.config.address import Address
from dsttool.engine.device.device import Device
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.open_node import Opening, open_all, policy_of
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found at one address. size in bytes, None if there was nothing; error: why there was not."""

    address: Address
    size: int | None = None
    error: DsttoolError | None = None


def probe(addresses: Sequence[Address], timeout_ns: int) -> list[Probe]:
    """Open each read-only and close it again; those that do not answer in `timeout_ns` have TimedOut or
    Unreachable as their error."""
    reactor = Reactor()
    try:
        openings = [
            Opening(
                address,
                name=str(address.bare()),
                read_only=True,
                policy=replace(policy_of(address), connect_timeout_ns=timeout_ns, links=1),
            )
            for address in addresses
        ]
        results = open_all(reactor, openings)
        close_all(reactor, [result for result in results if isinstance(result, Device)])
    finally:
        reactor.close()
    return [
        Probe(address, error=result)
        if isinstance(result, DsttoolError)
        else Probe(address, size=result.capabilities.size)
        for address, result in zip(addresses, results)
    ]
