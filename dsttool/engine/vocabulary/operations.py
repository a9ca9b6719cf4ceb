"""Operations and flags of requests.

Numbers are NBD's (NBD protocol, "Request types" and "Command flags"), and DST/2 uses the same,
so that no layer translates. They are plain ints because they are compared on the hot path.
"""

from typing import Final

READ: Final = 0
WRITE: Final = 1
DISCONNECT: Final = 2
FLUSH: Final = 3
TRIM: Final = 4
CACHE: Final = 5
WRITE_ZEROES: Final = 6
BLOCK_STATUS: Final = 7

NAMES: Final = {
    READ: "READ",
    WRITE: "WRITE",
    DISCONNECT: "DISCONNECT",
    FLUSH: "FLUSH",
    TRIM: "TRIM",
    CACHE: "CACHE",
    WRITE_ZEROES: "WRITE_ZEROES",
    BLOCK_STATUS: "BLOCK_STATUS",
}

FUA: Final = 1 << 0
NO_HOLE: Final = 1 << 1
DF: Final = 1 << 2
REQ_ONE: Final = 1 << 3
FAST_ZERO: Final = 1 << 4
# Ours, never on a wire: an array has another copy, so fail this read at once with ENOLINK when
# the link is down rather than hold it until the budget ends.
FAIL_FAST: Final = 1 << 14
# Ours too: user code will look at what this read brings, so it must not be a slice of a file mapping,
# where an error of the medium is SIGBUS.
LOOKED_AT: Final = 1 << 15

WIRE_FLAGS: Final = FUA | NO_HOLE | DF | REQ_ONE | FAST_ZERO
