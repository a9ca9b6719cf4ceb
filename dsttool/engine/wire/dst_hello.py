"""DST/2 hello, welcome, refusal and notice: what both sides agree on at every connect.

    hello                                       welcome
      0  16s  session id                          0  16s  export id
     16  u64  epoch, grows with each connect     16  u64  size in bytes
     24  u64  floor: lowest id unanswered        24  u32  block_min
     32  u64  writer term                        28  u32  block_preferred
     40  16s  array id, zeroes if none           32  u32  payload_max
     56  u16  slot                               36  u32  capabilities (bits below)
     58  u16  link index                         40  u32  window in requests
     60  u8   access wanted: 0 read-write,       44  u64  window in bytes
              1 read-only                        52  16s  durability verifier
     61  u8   1 to take over from another        68  u8   access granted
              owner                              69  u8   1 if the session was found
     62  u16  length of the export's name        70  u16  reserved, 0
     64  u16  length of the owner                72  u64  writer term, 0 if read-only
     66  ..   export name, owner (UTF-8)         80  u32  count of known ids
                                                 84  ..   known: u64 id, u16 status, u16 reserved

    refusal, notice
      0  u16  code
      2  ..   reason (UTF-8)

Known ids are changes (WRITE, TRIM, WRITE_ZEROES) of the session: those that are finished, at or above the
floor, with their status; and all that still run, with status RUNNING. What a client has sent and does not
find here was never begun, and will not be unless it sends it again.

A term of 0 asks for one: a new session. Strings are UTF-8 and as long as their fields say; nothing follows.
"""

from dataclasses import dataclass
from struct import Struct, iter_unpack
from typing import Final

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import (
    Conflict,
    DsttoolError,
    Fenced,
    Forbidden,
    NotFound,
    ProtocolError,
    Unreachable,
)
from dsttool.engine.vocabulary.texts import readable

_HELLO: Final = Struct(">16sQQQ16sHHBBHH")
_WELCOME: Final = Struct(">16sQIIIIIQ16sBBHQI")
_KNOWN: Final = Struct(">QHH")
_CODE: Final = Struct(">H")

READ_WRITE: Final = 0
READ_ONLY: Final = 1
# The status of a known id that has not finished.
RUNNING: Final = 0xFFFF

# Bits of the welcome's capabilities.
_BITS: Final = {"flush": 1, "fua": 2, "trim": 4, "write_zeroes": 8, "fast_zero": 16, "rotational": 32}

REFUSED_EXPORT: Final = 1
REFUSED_ACCESS: Final = 2
REFUSED_PROTOCOL: Final = 3
GOING_AWAY: Final = 4
REPLACED: Final = 5
# Another writer has taken over, or a newer session of the same owner has.
FENCED: Final = 6
# Another owner writes, or did a moment ago.
BUSY: Final = 7
# From a client: its session ends, everything it sent is answered.
GOODBYE: Final = 8
# This client may not come in at all: its key or its address is not authorised.
REFUSED_KEY: Final = 9
_ERRORS: Final[dict[int, tuple[type[DsttoolError], str]]] = {
    REFUSED_EXPORT: (NotFound, "List the exports with 'dsttool status' on that machine."),
    REFUSED_ACCESS: (Forbidden, "Ask for read-only access, or have the export made writable."),
    REFUSED_PROTOCOL: (ProtocolError, "Use the same dsttool on both sides."),
    GOING_AWAY: (Unreachable, "Wait until it is back."),
    REPLACED: (Conflict, "The session goes on over another link."),
    FENCED: (Fenced, "Only one may write at a time: stop the other one, then start this one again."),
    BUSY: (
        Conflict,
        "Stop the other one, or wait a minute if it has died; arrays may take over (`array up --takeover`).",
    ),
    GOODBYE: (Conflict, "The session has ended."),
    REFUSED_KEY: (Forbidden, "Have this machine's key authorised there: dsttool key show, key authorize."),
}


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client says at each connect."""

    session: bytes
    epoch: int
    export: str
    floor: int = 0
    term: int = 0
    array: bytes = bytes(16)
    slot: int = 0
    link: int = 0
    access: int = READ_WRITE
    owner: str = ""
    takeover: bool = False

    def pack(self) -> bytes:
        """The body of a HELLO record."""
        export, owner = self.export.encode(), self.owner.encode()
        fixed = _HELLO.pack(
            self.session,
            self.epoch,
            self.floor,
            self.term,
            self.array,
            self.slot,
            self.link,
            self.access,
            self.takeover,
            len(export),
            len(owner),
        )
        return fixed + export + owner

    @classmethod
    def parse(cls, body: bytes) -> "Hello":
        """Read a HELLO record's body. Raises ProtocolError."""
        if len(body) < _HELLO.size:
            raise ProtocolError("A hello is too short.")
        session, epoch, floor, term, array, slot, link, access, takeover, named, owned = _HELLO.unpack_from(
            body
        )
        texts = body[_HELLO.size :]
        if len(texts) != named + owned or max(named, owned) > limits.NAME_BYTES_MAX:
            raise ProtocolError("A hello's strings have the wrong lengths.")
        if access not in (READ_WRITE, READ_ONLY):
            raise ProtocolError("A hello wants an access that is not defined.")
        export, owner = _text(texts[:named]), _text(texts[named:])
        return cls(session, epoch, export, floor, term, array, slot, link, access, owner, bool(takeover))


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server answers: the export, and what may be asked of it. Sizes in bytes."""

    export_id: bytes
    size: int
    block_min: int
    block_preferred: int
    payload_max: int
    capabilities: frozenset[str]
    window: int
    window_bytes: int
    verifier: bytes = bytes(16)
    access: int = READ_WRITE
    found: bool = False
    term: int = 0
    known: tuple[tuple[int, int], ...] = ()

    def pack(self) -> bytes:
        """The body of a WELCOME record."""
        bits = sum(bit for name, bit in _BITS.items() if name in self.capabilities)
        fixed = _WELCOME.pack(
            self.export_id,
            self.size,
            self.block_min,
            self.block_preferred,
            self.payload_max,
            bits,
            self.window,
            self.window_bytes,
            self.verifier,
            self.access,
            self.found,
            0,
            self.term,
            len(self.known),
        )
        return fixed + b"".join(_KNOWN.pack(id_, status, 0) for id_, status in self.known)

    @classmethod
    def parse(cls, body: bytes) -> "Welcome":
        """Read a WELCOME record's body. Raises ProtocolError."""
        if len(body) < _WELCOME.size:
            raise ProtocolError("A welcome is too short.")
        (
            export_id,
            size,
            block_min,
            block_preferred,
            payload_max,
            bits,
            window,
            window_bytes,
            verifier,
            access,
            found,
            _,
            term,
            count,
        ) = _WELCOME.unpack_from(body)
        rest = body[_WELCOME.size :]
        if len(rest) != count * _KNOWN.size:
            raise ProtocolError("A welcome's list of known ids has the wrong length.")
        if not (0 < size < 1 << 63 and block_min.bit_count() == 1 and window > 0 and window_bytes > 0):
            raise ProtocolError("A welcome has a size, block size or window that cannot be.")
        if not max(block_min, 4096) <= payload_max <= limits.REQUEST_MAX or access not in (0, 1):
            raise ProtocolError("A welcome has a maximum request or an access that cannot be.")
        names = frozenset(name for name, bit in _BITS.items() if bits & bit)
        known = tuple((id_, status) for id_, status, _ in iter_unpack(_KNOWN.format, rest))
        return cls(
            export_id,
            size,
            block_min,
            block_preferred,
            payload_max,
            names,
            window,
            window_bytes,
            verifier,
            access,
            bool(found),
            term,
            known,
        )


def pack_reason(code: int, reason: str) -> bytes:
    """The body of a REFUSAL or NOTICE record."""
    return _CODE.pack(code) + readable(reason).encode()[: limits.NAME_BYTES_MAX]


def parse_reason(body: bytes) -> tuple[int, DsttoolError]:
    """Read a REFUSAL's or NOTICE's body: the code, and the error to show."""
    if len(body) < _CODE.size:
        raise ProtocolError("A refusal is too short.")
    (code,) = _CODE.unpack_from(body)
    kind, advice = _ERRORS.get(code, (ProtocolError, ""))
    reason = "".join(c for c in body[2:].decode(errors="replace") if c.isprintable())
    return code, kind(reason[: limits.NAME_BYTES_MAX] or "The server gave no reason.", advice)


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("A hello's strings are not UTF-8.") from error
    if not text.isprintable():
        raise ProtocolError("A hello's strings have control characters.")
    return text
