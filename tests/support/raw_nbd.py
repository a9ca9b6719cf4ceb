"""A bare NBD connection that can say anything: for clients that break the rules."""

import errno
import socket
import struct
from pathlib import Path
from types import TracebackType

# NBD protocol, "Values".
GREETING = b"NBDMAGICIHAVEOPT"
IHAVEOPT = 0x49484156454F5054
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698
READ, WRITE, FLUSH = 0, 1, 3
OPT_EXPORT_NAME, OPT_GO = 1, 7
REP_ACK = 1
EINVAL, EOVERFLOW = errno.EINVAL, errno.EOVERFLOW


def packed(kind: int, offset: int, length: int, cookie: int = 7) -> bytes:
    """The header of a request, true or not."""
    return struct.pack(">IHHQQI", REQUEST_MAGIC, 0, kind, cookie, offset, length)


class RawClient:
    """A socket with just enough of the protocol to leave it at any point."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes; EOFError if the server closes first."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError(f"closed after {len(data)} of {count} bytes")
            data += more
        return data

    def greet(self) -> None:
        """Answer the greeting, so that options may follow."""
        assert self.take(16) == GREETING
        (flags,) = struct.unpack(">H", self.take(2))
        self.socket.sendall(struct.pack(">I", flags))

    def option(self, number: int, data: bytes) -> None:
        """Send one option."""
        self.socket.sendall(struct.pack(">QII", IHAVEOPT, number, len(data)) + data)

    def go(self) -> "RawClient":
        """Handshake for the only export."""
        self.greet()
        self.option(OPT_GO, struct.pack(">IH", 0, 0))
        while True:
            _magic, _option, kind, length = struct.unpack(">QIII", self.take(20))
            self.take(length)
            if kind == REP_ACK:
                return self

    def request(self, kind: int, offset: int, length: int, data: bytes = b"", *, cookie: int = 7) -> None:
        """Send one request, true or not."""
        self.socket.sendall(packed(kind, offset, length, cookie) + data)

    def reply(self) -> tuple[int, int]:
        """Error and cookie of the next simple reply."""
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert magic == REPLY_MAGIC
        return error, cookie

    def flood(self, message: bytes, at_most: int = 4 << 30) -> str:
        """Send the same again and again without reading: until 'blocked' for 2 s, or 'closed'."""
        self.socket.settimeout(2)
        for _ in range(at_most // len(message)):
            try:
                self.socket.sendall(message)
            except TimeoutError:
                return "blocked"
            except (BrokenPipeError, ConnectionResetError):
                return "closed"
        return "neither"

    def is_closed(self) -> bool:
        """Read until the server closes (True) or has said nothing for the socket's timeout (False)."""
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return True
