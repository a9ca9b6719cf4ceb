"""What may be relied on at an address: a sentence for each guarantee, whether it holds or not."""

from dataclasses import dataclass
from typing import Any, Final

from dsttool.engine.config.address import Address
from dsttool.engine.config.listen import is_local
from dsttool.engine.device.device import Capabilities

SEALED: Final = frozenset({"aes256gcm", "chacha20poly1305", "tls"})


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One of them. says: the sentence for people, whether it holds or not."""

    name: str
    holds: bool
    says: str


def guarantees(address: Address, can: Capabilities, *, structured_replies: bool | None) -> list[Guarantee]:
    """Of the device behind an address. structured_replies: as agreed on with an NBD server."""
    found = [
        _either(
            "flush",
            can.flush,
            "after a flush, what was acked before it is on stable storage",
            "a flush cannot be asked for: acked writes may be lost when the power fails",
        ),
        _either(
            "fua",
            can.fua,
            "a single write can be asked to be on stable storage when it is acked",
            "a write that must be on stable storage needs a flush of its own, if there is one",
        ),
        _either(
            "multi_conn",
            can.multi_conn,
            "a flush on one connection covers what was acked on the others",
            "a flush on one connection says nothing about the others",
        ),
        _either(
            "bytes",
            can.block_min == 1,
            "requests may begin and end at any byte",
            f"requests must be multiples of {can.block_min} bytes",
        ),
    ]
    if address.kind == "nbd":
        found += _of_nbd(can, structured_replies=bool(structured_replies))
    elif address.kind == "dst":
        found += _of_dst()
    if address.kind in ("dst", "nbd"):
        local = address.endpoint is None or is_local(address.endpoint)
        found.append(
            _either(
                "private",
                local or address.security in SEALED,
                "nobody on the way can read or change the data",
                "data can be read and changed on the way: use networks you trust",
            )
        )
    return found


def described(found: list[Guarantee]) -> list[dict[str, Any]]:
    """For JSON. `otherwise` is what follows from its not holding, None if it holds."""
    return [
        {
            "name": each.name,
            "holds": each.holds,
            "says": each.says,
            "otherwise": None if each.holds else each.says,
        }
        for each in found
    ]


def _either(name: str, holds: bool, yes: str, no: str) -> Guarantee:
    return Guarantee(name, holds, yes if holds else no)


def _of_dst() -> list[Guarantee]:
    return [
        Guarantee("reconnect", True, "a lost link is made again; requests wait for it within their budget"),
        Guarantee("exactly_once", True, "a write that is sent again is not executed twice"),
        Guarantee("ordered_after_reconnect", True, "no write of a lost link lands after a newer one"),
        Guarantee(
            "power_loss_detected",
            True,
            "the server tells when acked writes that were not flushed may have been lost",
        ),
    ]


def _of_nbd(can: Capabilities, *, structured_replies: bool) -> list[Guarantee]:
    if can.read_only:
        kept = "NBD does not tell when a server has lost data"
    elif can.flush:
        kept = (
            "NBD does not tell when a server has lost acked writes: each reconnect is taken for a loss,"
            " and what was not flushed is written again, or reported as lost"
        )
    else:
        kept = (
            "NBD does not tell when a server has lost acked writes: each reconnect is taken for a loss"
            " and reported, for without flush nothing is ever known to be safe"
        )
    return [
        Guarantee(
            "reconnect", True, "a lost connection is made again; requests wait for it within their budget"
        ),
        Guarantee(
            "exactly_once",
            False,
            "a write that is sent again after a lost connection may be executed twice, with the same data",
        ),
        Guarantee(
            "ordered_after_reconnect",
            False,
            "a write of a lost connection that the server still works on may land after a newer one",
        ),
        Guarantee("power_loss_detected", False, kept),
        _either(
            "structured_replies",
            structured_replies,
            "holes need not be sent, and a read that fails halfway fails alone",
            "holes are sent as zeroes, and a read that fails halfway costs the connection",
        ),
    ]
