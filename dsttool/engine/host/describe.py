"""What there is behind an address, found out without changing anything there."""

import os
from typing import Any

from dsttool.engine.config.address import Address
from dsttool.engine.config.listen import is_local
from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.host.open_node import Opening, open_one, reachable
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.node.nbd_handshake import list_exports
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound


def describe(reactor: Reactor, asked: Address) -> dict[str, Any]:
    """The description of one device; of an NBD server with several exports also their names.

    Sizes in bytes. Opens read-only. Raises why it cannot be reached.
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
    return {
        "address": str(asked),
        "kind": address.kind,
        "export": address.export if address.kind in ("dst", "nbd") else None,
        "security": address.security if address.kind in ("dst", "nbd") else None,
        **_capabilities(device.capabilities if device else None),
        "read_only": _offered_read_only(address, device),
        "exports": exports,
        "guarantees": guarantees(address, device.capabilities) if device else [],
    }


def _offered_read_only(address: Address, device: Device | None) -> bool | None:
    """Whether nobody may write there; None where one had to become a writer to find out."""
    if isinstance(device, NbdNode):
        return device.info.read_only
    if address.kind == "file":
        return not os.access(address.path, os.W_OK)
    return None if device is None or address.kind == "dst" else device.capabilities.read_only


def guarantees(address: Address, can: Capabilities) -> list[dict[str, Any]]:
    """What may be relied on there: each with whether it holds and, if not, what that means."""
    remote = address.kind in ("dst", "nbd")
    said = [
        ("flush", can.flush, "acked writes may be lost if the power fails, whatever a client does"),
        ("fua", can.fua, "a write that must be on stable storage needs a flush of its own"),
        ("multi_conn", can.multi_conn, "a flush on one connection says nothing about the others"),
        ("bytes", can.block_min == 1, f"requests must be multiples of {can.block_min} bytes"),
    ]
    if remote:
        said.append(
            (
                "reconnect",
                address.kind == "dst",
                "a plain NBD link is not restored: what is in flight when it breaks fails",
            )
        )
        said.append(
            (
                "private",
                address.endpoint is None or is_local(address.endpoint),
                "data can be read and changed on the way: use networks you trust",
            )
        )
    return [{"name": name, "holds": holds, "otherwise": otherwise} for name, holds, otherwise in said]


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
    list_exports(reactor, address.endpoint, lambda listed, error: answers.append((listed, error)))
    reactor.run_until(lambda: bool(answers))
    listed, error = answers[0]
    if error is not None:
        return None
    return [{"name": name, "description": description} for name, description in listed]
