"""What there is behind an address, found out without changing anything there."""

import os
from typing import Any, Final

from dsttool.engine.config.address import Address
from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.guarantees import Guarantee, described, guarantees
from dsttool.engine.host.open_node import Opening, open_one, reachable, tls_of
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.node.nbd_handshake import list_exports
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound

_FLAGS: Final = (
    "reconnect",
    "exactly_once",
    "ordered_after_reconnect",
    "power_loss_detected",
    "structured_replies",
)


def describe(reactor: Reactor, asked: Address) -> dict[str, Any]:
    """The description of one device; of an NBD server with several exports also their names.

    Sizes in bytes. Opens read-only, and closes again: a server hears a goodbye. Raises why it cannot be
    reached.
    """
    address = reachable(asked)
    exports: list[dict[str, str]] | None = None
    device: Device | None = None
    if address.kind == "nbd":
        exports = _exports(reactor, address)
    try:
        device = open_one(reactor, Opening(asked, read_only=True))
    except NotFound:
        # Without a name, a server that has several exports has said all there is to say.
        if address.export or not exports:
            raise
    try:
        return _described(asked, address, device, exports)
    finally:
        if device is not None:
            close_all(reactor, [device])


def _described(
    asked: Address, address: Address, device: Device | None, exports: list[dict[str, str]] | None
) -> dict[str, Any]:
    found: list[Guarantee] = []
    if device is not None:
        structured = device.structured if isinstance(device, NbdNode) else None
        found = guarantees(address, device.capabilities, structured_replies=structured)
    return {
        "address": str(asked),
        "kind": address.kind,
        "export": address.export if address.kind in ("dst", "nbd") else None,
        "security": address.security if address.kind in ("dst", "nbd") else None,
        **_capabilities(device.capabilities if device else None),
        "read_only": _offered_read_only(address, device),
        "exports": exports,
        **_flags(found),
        "guarantees": described(found),
    }


def _offered_read_only(address: Address, device: Device | None) -> bool | None:
    """Whether nobody may write there; None where one had to become a writer to find out."""
    if isinstance(device, NbdNode):
        return device.info.read_only
    if address.kind == "file":
        return not os.access(address.path, os.W_OK)
    return None if device is None or address.kind == "dst" else device.capabilities.read_only


def _flags(found: list[Guarantee]) -> dict[str, bool | None]:
    """The guarantees that are no capabilities, by name: for scripts; None where it has no meaning."""
    holds = {each.name: each.holds for each in found}
    return {name: holds.get(name) for name in _FLAGS}


def _capabilities(can: Capabilities | None) -> dict[str, Any]:
    fields = {
        "size_bytes": "size",
        "read_only": "read_only",
        "block_min": "block_min",
        "block_preferred": "block_preferred",
        "payload_max": "payload_max",
        "flush": "flush",
        "fua": "fua",
        "trim": "trim",
        "write_zeroes": "write_zeroes",
        "fast_zero": "fast_zero",
        "rotational": "rotational",
        "multi_conn": "multi_conn",
    }
    return {name: None if can is None else getattr(can, field) for name, field in fields.items()}


def _exports(reactor: Reactor, address: Address) -> list[dict[str, str]] | None:
    """What the server lists, or None if it does not tell."""
    assert address.endpoint is not None
    answers: list[tuple[list[tuple[str, str]], DsttoolError | None]] = []
    list_exports(
        reactor,
        address.endpoint,
        lambda listed, error: answers.append((listed, error)),
        tls=tls_of(address),
    )
    reactor.run_until(lambda: bool(answers))
    listed, error = answers[0]
    if error is not None:
        return None
    return [{"name": name, "description": description} for name, description in listed]
