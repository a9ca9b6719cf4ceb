"""DST/2 preface: the first bytes of both sides, before anything is sealed.

    client, 32 bytes, big-endian              server, 8 bytes
      0  4s   magic "DST2"                      0  4s  magic "DST2"
      4  u8   lowest version it speaks          4  u8  version chosen, 0 if refused
      5  u8   highest version it speaks         5  u8  security it will use
      6  u8   security wanted                   6  u8  refusal, 0 if welcome
      7  u8   checksums it can use, bits        7  u8  checksum chosen, one of these bits
      8  16s  routing hint: the session id
     24  8s   reserved, 0

Securities and checksums are those of dst_security; byte 7 is 0 unless the security is checksum. A listener
may hand the socket to whoever owns the session before anything else is read. An unknown version or a
stranger's bytes get this answer and the connection's end, and cost nothing more. Each side is configured
for one security and takes nothing below it. What follows the prefaces: see dst_handshake.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from dsttool.engine.vocabulary.errors import ProtocolError

MAGIC: Final = b"DST2"
VERSION: Final = 2
CLIENT: Final = Struct(">4sBBBB16s8s")
SERVER: Final = Struct(">4sBBBB")

NONE: Final = 0

REFUSED_VERSION: Final = 1
REFUSED_SECURITY: Final = 2
REFUSED_BUSY: Final = 3
REFUSED_ADDRESS: Final = 4
_REFUSALS: Final = {
    REFUSED_VERSION: ("The server does not speak DST version 2.", "Use the same dsttool on both sides."),
    REFUSED_SECURITY: (
        "The server wants another security.",
        "Give both sides the same one (security=… in the address, --security on export).",
    ),
    REFUSED_BUSY: ("The server has as many connections as it allows.", "Try again later."),
    REFUSED_ADDRESS: (
        "The server does not admit this machine's address.",
        "Have it allowed there: access = […] of the export.",
    ),
}


@dataclass(frozen=True, slots=True)
class ClientPreface:
    """What a client wants, as a server reads it."""

    version_min: int
    version_max: int
    security: int
    session: bytes
    checksums: int = 0


def client_preface(security: int, session: bytes, checksums: int = 0) -> bytes:
    """The client's 32 bytes."""
    return CLIENT.pack(MAGIC, VERSION, VERSION, security, checksums, session, bytes(8))


def parse_client(data: bytes | memoryview) -> ClientPreface:
    """Read 32 bytes. Raises ProtocolError for a stranger's."""
    magic, low, high, security, checksums, session, _ = CLIENT.unpack(data)
    if magic != MAGIC:
        raise ProtocolError("The client does not speak DST.")
    return ClientPreface(low, high, security, session, checksums)


def refusal_of(preface: ClientPreface, security: int) -> int:
    """Why a server with that security refuses this client; 0 if it does not."""
    if not preface.version_min <= VERSION <= preface.version_max:
        return REFUSED_VERSION
    return REFUSED_SECURITY if preface.security != security else 0


def server_preface(security: int, refusal: int, checksum: int = 0) -> bytes:
    """The server's 8 bytes."""
    return SERVER.pack(MAGIC, 0 if refusal else VERSION, security, refusal, checksum)


def check_server(data: bytes | memoryview, security: int) -> int:
    """Read the server's 8 bytes; the checksum it chose. Raises ProtocolError for a stranger or a refusal."""
    magic, version, offered, refusal, checksum = SERVER.unpack(data)
    if magic != MAGIC:
        raise ProtocolError("The server does not speak DST.", "Check the address and the port.")
    if refusal:
        raise ProtocolError(*_REFUSALS.get(refusal, (f"The server refused (code {refusal}).", "")))
    if version != VERSION or offered != security:
        raise ProtocolError(*_REFUSALS[REFUSED_VERSION if version != VERSION else REFUSED_SECURITY])
    return int(checksum)
