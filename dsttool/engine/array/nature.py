"""What an array is, as its members and its layout make it: capabilities and identity."""

import hashlib
from collections.abc import Sequence

from dsttool.engine.array.member import Member
from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.vocabulary.errors import UsageError


def capabilities_of(algorithm: Algorithm, members: Sequence[Member]) -> Capabilities:
    """What all present members can do together.

    Raises UsageError where a block that a member insists on would not lie whole on one member.
    """
    can = [member.node.capabilities for member in members if member.node is not None]
    block = max(c.block_min for c in can)
    size = algorithm.size // block * block
    cuts = [piece.offset | piece.start for piece in algorithm.runs(0, size)]
    if any(cut % block for cut in (*cuts, min(algorithm.room(0), size))):
        raise UsageError(
            f"The layout {algorithm.name} would cut blocks of {block} bytes, which a member insists on.",
            "Use chunks and members whose sizes are multiples of that.",
        )
    return Capabilities(
        size=size,
        block_min=block,
        block_preferred=max(c.block_preferred for c in can),
        payload_max=min(c.payload_max for c in can),
        read_only=any(c.read_only for c in can),
        flush=all(c.flush for c in can),
        fua=all(c.fua for c in can),
        # Where copies are kept, trims are zeroes that are written fast: see Trims.
        trim=all(c.write_zeroes and c.fast_zero if algorithm.spare else c.trim for c in can),
        write_zeroes=all(c.write_zeroes for c in can),
        fast_zero=all(c.fast_zero for c in can),
        rotational=any(c.rotational for c in can),
    )


def check_newcomer(node: Device, wanted: Capabilities, size: int) -> None:
    """UsageError if a member with this node could not do what its array, which keeps copies, has promised
    already. Trims are no promise.

    size: how many bytes of the member are in use.
    """
    can = node.capabilities
    lacks = [
        word for word in ("flush", "fua", "write_zeroes") if getattr(wanted, word) and not getattr(can, word)
    ]
    if can.size < size:
        reason = f"it has {can.size} bytes, and {size} are needed"
    elif can.read_only and not wanted.read_only:
        reason = "it is read-only"
    elif wanted.block_min % can.block_min:
        reason = f"it insists on blocks of {can.block_min} bytes"
    elif can.payload_max < wanted.payload_max:
        reason = f"it takes at most {can.payload_max} bytes at once"
    elif lacks:
        reason = f"it cannot do {', '.join(lacks)}"
    else:
        return
    raise UsageError(
        f"{node.name} does not fit into the array that runs: {reason}.",
        "Bring the array down and up again with it, or use another node.",
    )


def identity_of(name: str, algorithm: Algorithm, members: Sequence[Member]) -> bytes:
    """The same as long as the array is made of the same addresses in the same way."""
    words = [name, algorithm.name, *(f"{k}={v}" for k, v in sorted(algorithm.parameters().items()))]
    words += [member.address for member in members]
    return hashlib.blake2b("\0".join(words).encode(errors="surrogateescape"), digest_size=16).digest()
