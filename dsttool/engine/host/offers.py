"""Devices as offers that remember who writes to them, in the state folder."""

from dsttool.engine.config import export_state
from dsttool.engine.device.device import Device
from dsttool.engine.export.offer import Offer
from dsttool.engine.node.memory import MemoryDevice


def offer_of(name: str, device: Device, *, read_only: bool = False, shared: bool = False) -> Offer:
    """An offer of the device under this name. Blocks for the disk; call it before anybody is served.

    DsttoolError if what is remembered cannot be understood. Nothing is remembered of memory, which does not
    outlive the process, nor where nobody has to be told apart from others.
    """
    if read_only or shared or isinstance(device, MemoryDevice):
        return Offer(name, device, read_only=read_only, shared=shared)
    identity = device.identity
    return Offer(
        name,
        device,
        stored=export_state.load(name, identity),
        store=lambda holder: export_state.store(name, identity, holder),
    )
