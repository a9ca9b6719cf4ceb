"""An NBD server that does what a test says: it notes requests, and answers when it is told, if ever.

Threads shake hands and note what comes; the test looks at `requests` and sends what it likes.
"""

import shutil
import socket
import struct
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dsttool.engine.vocabulary.endpoint import Endpoint

SIZE = 1 << 20
# NBD protocol, "Values".
HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES = 1, 2, 4, 8, 32, 64
EVERYTHING = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES
READ, WRITE, DISCONNECT = 0, 1, 2
OPT_ABORT, OPT_STARTTLS, OPT_GO, OPT_STRUCTURED_REPLY = 2, 5, 7, 8
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, (1 << 31) + 1


@dataclass
class Asked:
    """One request as it came. link: the number of its connection, from 0."""

    link: int
    op: int
    flags: int
    cookie: int
    offset: int
    length: int
    data: bytes


class RawServer:
    """See the head of this file. `refusing` closes connections before the greeting."""

    def __init__(self, *, flags: int = EVERYTHING, size: int = SIZE, structured: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dst"))
        self.endpoint = Endpoint("unix", path=str(self.folder / "raw"))
        self.flags, self.size, self.structured = flags, size, structured
        self.refusing = False
        self.options: list[int] = []
        self.requests: list[Asked] = []
        self.links: list[socket.socket] = []
        self.closed: set[int] = set()  # links whose other end sends no more
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.endpoint.path)
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection, and the server."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for number in range(len(self.links)):
            self.cut(number)
        for thread in self._threads[1:]:
            thread.join()
        for link in self.links:
            link.close()
        shutil.rmtree(self.folder)

    # -- what the test does --------------------------------------------------------------------------

    def cut(self, link: int) -> None:
        """Close a connection from this side."""
        with suppress(OSError):
            self.links[link].shutdown(socket.SHUT_RDWR)

    def send(self, link: int, data: bytes) -> None:
        """Send any bytes."""
        self.links[link].sendall(data)

    def answer(self, asked: Asked, error: int = 0, data: bytes | None = None, *, link: int = -1) -> None:
        """A simple reply, on the connection that the request came by; reads get zeroes, if not `data`."""
        payload = data if data is not None else bytes(asked.length if asked.op == READ and not error else 0)
        number = asked.link if link < 0 else link
        self.send(number, struct.pack(">IIQ", 0x67446698, error, asked.cookie) + payload)

    def asked(self, link: int) -> list[Asked]:
        """What came on one connection."""
        return [request for request in list(self.requests) if request.link == link]

    # -- threads ---------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                peer.close()
                continue
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        number = -1
        try:
            self._shake_hands(peer)
            number = len(self.links)
            self.links.append(peer)
            while True:
                _, flags, op, cookie, offset, length = struct.unpack(">IHHQQI", _take(peer, 28))
                data = _take(peer, length) if op == WRITE else b""
                self.requests.append(Asked(number, op, flags, cookie, offset, length, data))
        except OSError:
            if number < 0:
                peer.close()
            self.closed.add(number)

    def _shake_hands(self, peer: socket.socket) -> None:
        peer.sendall(b"NBDMAGICIHAVEOPT\0\3")
        _take(peer, 4)
        while True:
            _, option, length = struct.unpack(">QII", _take(peer, 16))
            _take(peer, length)
            self.options.append(option)
            if option == OPT_GO:
                info = struct.pack(">HQH", 0, self.size, self.flags)
                peer.sendall(_reply(option, REP_INFO, info) + _reply(option, REP_ACK))
                return
            agreed = option == OPT_STRUCTURED_REPLY and self.structured
            peer.sendall(_reply(option, REP_ACK if agreed else REP_ERR_UNSUP))


def _reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", 0x0003E889045565A9, option, kind, len(data)) + data


def _take(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data
