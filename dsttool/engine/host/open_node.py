"""From addresses to the Devices behind them, connected and ready."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsttool.engine.config import certificates, paths, protection
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.names import is_name
from dsttool.engine.config.supported import check_supported
from dsttool.engine.device.device import Device
from dsttool.engine.host import owners
from dsttool.engine.host.failed_flushes import FailedFlushes
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.file import FileDevice
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transport.tls import Tls
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound
from dsttool.engine.wire.dst_security import Security


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open one device.

    name: in messages and the status; the address if empty. size: create a file that does not exist,
    in bytes. mapped: as in FileDevice.open. policy: the whole of it; None for what the address's options
    make of the default. array, slot, takeover, ordered_above, retain: as in DstNode. security: None for what
    the address says.
    """

    address: Address
    name: str = ""
    read_only: bool = False
    size: int | None = None
    mapped: bool = False
    policy: Policy | None = None
    array: bytes = b""
    slot: int = 0
    takeover: bool = False
    ordered_above: bool = False
    retain: bool = False
    security: Security | None = None


def parse_device(text: str) -> Address:
    """An address, or the name of a file that is here: a bare word is that if nothing of its name runs."""
    if text and "/" not in text and ":" not in text and Path(text).exists():
        running = is_name(text) and paths.dst_socket(text).exists()
        if not running:
            return Address("file", path=f"./{text}")
    return parse_address(text)


def resolved(address: Address) -> Address:
    """The address with a NAME replaced by the socket of that name, and with absolute paths."""
    if address.kind != "name":
        return address.absolute(Path.cwd())
    return Address("dst", Endpoint("unix", path=str(paths.dst_socket(address.export))), address.export)


def reachable(address: Address) -> Address:
    """The address resolved, if it can be used.

    NotFound if it is a NAME and nothing of that name runs; UsageError if this release cannot do what
    the address asks for.
    """
    check_supported(address)
    if address.kind == "name" and not paths.dst_socket(address.export).exists():
        raise NotFound(
            f"Nothing called {address.export} is running.",
            f"`dsttool status` lists what runs; a file is written with a '/': ./{address.export}",
        )
    return resolved(address)


def open_all(reactor: Reactor, openings: Sequence[Opening]) -> list[Device | DsttoolError]:
    """Open devices, remote ones at the same time; for each the device, or why there is none.

    Turns the reactor until all have answered, at most as long as their connect timeouts.
    """
    results: list[Device | DsttoolError | None] = [None] * len(openings)

    def settle(index: int, device: Device) -> Callable[[DsttoolError | None], None]:
        def ready(error: DsttoolError | None) -> None:
            results[index] = error or device

        return ready

    for index, opening in enumerate(openings):
        try:
            device = _make(reactor, opening)
        except DsttoolError as error:
            results[index] = error
            continue
        if isinstance(device, DstNode | NbdNode):
            device.connect(settle(index, device))
        else:
            results[index] = device
    reactor.run_until(lambda: None not in results)
    return [result for result in results if result is not None]


def open_later(reactor: Reactor, opening: Opening, done: Callable[[Device | DsttoolError], None]) -> None:
    """Open one device while the reactor turns; `done` with it, or with why there is none."""

    def made(device: Device | None, error: BaseException | None) -> None:
        if isinstance(device, DstNode | NbdNode):
            device.connect(lambda failure: done(failure or device))
        elif isinstance(error, DsttoolError):
            done(error)
        else:
            assert device is not None, f"neither a device nor a reason: {error!r}"
            done(device)

    if opening.address.kind == "file":  # the disk may hang
        reactor.run_blocking(lambda: _make(reactor, opening), made)
        return
    try:
        device = _make(reactor, opening)
    except DsttoolError as error:
        done(error)
    else:
        made(device, None)


def open_one(reactor: Reactor, opening: Opening) -> Device:
    """Open one device. Raises why there is none."""
    (result,) = open_all(reactor, [opening])
    if isinstance(result, DsttoolError):
        raise result
    return result


def policy_of(address: Address) -> Policy:
    """The default policy of a lone device with what its address's options change."""
    return MemberPolicy(str(address.bare()), SINGLE_COPY, {}, address.options).policy


def tls_of(address: Address) -> Tls | None:
    """What protects the links to an NBD address; None if nothing does."""
    if not address.tls:
        return None
    return Tls(lambda: certificates.client_context(address), certificates.server_name(address))


def _make(reactor: Reactor, opening: Opening) -> Device:
    address = reachable(opening.address)
    name = opening.name or str(address.bare())
    if address.kind == "file":
        return FileDevice.open(
            reactor,
            address.path,
            read_only=opening.read_only,
            size=opening.size,
            mapped=opening.mapped,
            failed=FailedFlushes(),
        )
    if address.kind == "mem":
        return MemoryDevice(reactor, address.size, name)
    assert address.endpoint is not None
    policy = opening.policy or policy_of(address)
    if address.kind == "nbd":
        return NbdNode(
            reactor,
            name,
            address.endpoint,
            address.export,
            policy=policy,
            read_only=opening.read_only,
            retain=opening.retain,
            tls=tls_of(address),
        )
    return DstNode(
        reactor,
        name,
        address.endpoint,
        address.export,
        policy=policy,
        read_only=opening.read_only,
        owner=owners.machine(),
        array=opening.array,
        slot=opening.slot,
        takeover=opening.takeover,
        ordered_above=opening.ordered_above,
        retain=opening.retain,
        security=opening.security or protection.of_address(address),
    )
