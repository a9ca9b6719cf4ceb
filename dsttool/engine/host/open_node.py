"""From an address to the Device behind it."""

from pathlib import Path

from dsttool.engine.config import paths
from dsttool.engine.config.address import Address
from dsttool.engine.config.supported import check_supported
from dsttool.engine.device.device import Device
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import NotFound


def reachable(address: Address) -> Address:
    """The address with a NAME replaced by the socket of what runs here under that name.

    NotFound if nothing does; UsageError if this release cannot do what the address asks for.
    """
    check_supported(address)
    if address.kind != "name":
        return address.absolute(Path.cwd())
    path = paths.dst_socket(address.export)
    if not path.exists():
        raise NotFound(
            f"Nothing called {address.export} is running.",
            "`dsttool status` lists what runs; a file is written with a '/', for example "
            f"./{address.export}.",
        )
    return Address("dst", Endpoint("unix", path=str(path)), address.export)


def open_local(
    reactor: Reactor,
    address: Address,
    *,
    read_only: bool = False,
    size: int | None = None,
    mapped: bool = False,
) -> Device | None:
    """The file or memory at an address, opened; None for an address of another kind.

    size: creates a file that does not exist. mapped: as in FileDevice.open.
    """
    if address.kind == "file":
        from dsttool.engine.node.file import FileDevice

        return FileDevice.open(reactor, address.path, read_only=read_only, size=size, mapped=mapped)
    if address.kind == "mem":
        from dsttool.engine.node.memory import MemoryDevice

        return MemoryDevice(reactor, address.size, str(address))
    return None
