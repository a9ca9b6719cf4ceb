"""A bare DST/2 connection that can say anything: for clients that break the rules."""

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from dsttool.engine.wire import dst_preface, dst_records
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import FLOOR, REPLY, REQUEST


def head(op: int, offset: int, length: int, *, id_: int = 1) -> bytes:
    """The head of a request, true or not."""
    return REQUEST.pack(id_, offset, length, op, 0, 0)


def record(kind: int, body: bytes, count: int = 0) -> bytes:
    """A whole record."""
    return dst_records.header(kind, len(body), count) + body


def batch(body: bytes, count: int, *, floor: int = 0) -> bytes:
    """A REQUESTS record: heads and payloads, and how many heads it claims."""
    return record(dst_records.REQUESTS, FLOOR.pack(floor) + body, count)


class RawDst:
    """A socket with just enough of the protocol to leave it at any point."""

    def __init__(self, path: Path) -> None:
        self.session = os.urandom(16)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))

    def __enter__(self) -> "RawDst":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes; EOFError if the server closes first."""
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError(f"closed after {len(data)} of {count} bytes")
            data += more
        return bytes(data)

    def record(self) -> tuple[int, bytes]:
        """Type and body of the next record."""
        kind, _, body = self.whole_record()
        return kind, body

    def whole_record(self) -> tuple[int, int, bytes]:
        """Type, count and body of the next record. Pings are answered."""
        while True:
            length, kind, _, count = dst_records.HEADER.unpack(self.take(8))
            body = self.take(length)
            if kind != dst_records.PING:
                return kind, count, body
            self.socket.sendall(record(dst_records.PONG, body))

    def connect(self, export: str, **greeting: Any) -> Welcome:
        """Preface and hello, which says what is given; what the server grants."""
        self.socket.sendall(dst_preface.client_preface(dst_preface.NONE, self.session))
        hello = Hello(**{"session": self.session, "epoch": 1, "export": export} | greeting)
        self.socket.sendall(record(dst_records.HELLO, hello.pack()))
        self.take(dst_preface.SERVER.size)
        kind, body = self.record()
        assert kind == dst_records.WELCOME
        return Welcome.parse(body)

    def replies(self) -> list[tuple[int, int]]:
        """Id and status of the replies in the next record; payloads are read and dropped."""
        kind, count, body = self.whole_record()
        assert kind == dst_records.REPLIES
        heads = [REPLY.unpack_from(body, index * REPLY.size) for index in range(count)]
        for _, _, _, payload in heads:
            if payload >= dst_records.CROSSOVER:
                assert self.record()[0] == dst_records.PAYLOAD
        return [(id_, status) for id_, status, _, _ in heads]

    def is_closed(self) -> bool:
        """Read until the server closes (True) or has said nothing for the socket's timeout (False)."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return True
