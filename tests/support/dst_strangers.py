"""The other end of a DST/2 connection, in this process, that can say anything: client or server."""

import socket
from pathlib import Path
from typing import Any

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.wire import dst_hello, dst_preface, dst_records
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import FLOOR, REPLY, REQUEST
from support.dst_hall import DstHall, Export

SESSION = bytes(range(16))
SIZE = 1 << 20
# What a server like ours would answer.
WELCOME = Welcome(
    bytes(16), SIZE, 1, 4096, limits.REQUEST_MAX, frozenset(["flush", "fua", "trim"]), 64, 64 * limits.MIB
)


def head(op: int, offset: int, length: int, *, id_: int = 1, flags: int = 0) -> bytes:
    """The head of a request, true or not."""
    return REQUEST.pack(id_, offset, length, op, flags, 0)


def reply(id_: int, status: int = 0, length: int = 0) -> bytes:
    """The head of a reply, true or not."""
    return REPLY.pack(id_, status, 0, length)


def record(kind: int, body: bytes, count: int = 0) -> bytes:
    """A whole record."""
    return dst_records.header(kind, len(body), count) + body


def batch(body: bytes, count: int, *, floor: int = 0) -> bytes:
    """A REQUESTS record: what follows the floor, and how many heads it claims."""
    return record(dst_records.REQUESTS, FLOOR.pack(floor) + body, count)


def requests(*heads: bytes, payload: bytes = b"", floor: int = 0) -> bytes:
    """A batch of requests."""
    return batch(b"".join(heads) + payload, len(heads), floor=floor)


def replies(*heads: bytes, payload: bytes = b"") -> bytes:
    """A batch of replies."""
    return record(dst_records.REPLIES, b"".join(heads) + payload, len(heads))


class Talker:
    """A socket whose other end lives on the hall's reactor: saying and hearing turns it."""

    def __init__(self, hall: DstHall, sock: socket.socket) -> None:
        self.hall = hall
        self.socket = sock
        sock.setblocking(False)
        self._heard = b""
        self.ended = False

    def say(self, data: bytes) -> None:
        rest = memoryview(data)

        def said() -> bool:
            nonlocal rest
            try:
                while rest:
                    rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True
            return True

        self.hall.until(said)

    def says_until_held_back(self, data: bytes, at_most: int) -> int:
        """Say it again and again; how many bytes went before nothing went for 200 turns, or all."""
        sent = idle = 0
        rest = memoryview(b"")
        while sent < at_most and idle < 200:
            idle += 1
            try:
                rest = rest or memoryview(data)
                size = self.socket.send(rest)
                rest, sent, idle = rest[size:], sent + size, 0
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
            self.hall.reactor.post(lambda: None)
            self.hall.reactor.turn()
        return sent

    def _read(self) -> None:
        try:
            while more := self.socket.recv(1 << 20):
                self._heard += more
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended = True

    def hear(self, count: int) -> bytes:
        """Exactly so many bytes."""

        def heard() -> bool:
            self._read()
            assert len(self._heard) >= count or not self.ended, f"closed after {self._heard!r}"
            return len(self._heard) >= count

        self.hall.until(heard)
        data, self._heard = self._heard[:count], self._heard[count:]
        return data

    def record(self) -> tuple[int, bytes]:
        """Type and body of the next record."""
        kind, _, body = self.whole_record()
        return kind, body

    def whole_record(self) -> tuple[int, int, bytes]:
        """Type, count and body of the next record."""
        length, kind, _, count = dst_records.HEADER.unpack(self.hear(8))
        return kind, count, self.hear(length)

    def is_closed(self) -> bool:
        """Wait until the other side closes, whatever it says before."""

        def closed() -> bool:
            self._read()
            return self.ended

        self.hall.until(closed)
        return True

    def is_silent(self) -> bool:
        """Whether nothing has been said so far that was not heard yet."""
        self.hall.reactor.post(lambda: None)
        self.hall.reactor.turn()
        self._read()
        return not self._heard and not self.ended

    def close(self) -> None:
        self.socket.close()


class RawClient(Talker):
    """A client of an export."""

    def __init__(self, hall: DstHall, export: Export, session: bytes = SESSION) -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(export.endpoint.path)
        super().__init__(hall, sock)
        self.session = session

    def whole_record(self) -> tuple[int, int, bytes]:
        """The next record. Pings are answered: a busy machine may be slow."""
        kind, count, body = super().whole_record()
        while kind == dst_records.PING:
            self.say(record(dst_records.PONG, body))
            kind, count, body = super().whole_record()
        return kind, count, body

    def hello(self, epoch: int = 1, **others: Any) -> Hello:
        """A hello of an owner that has only this session."""
        return Hello(
            **{"session": self.session, "epoch": epoch, "export": "disk", "array": self.session} | others
        )

    def greet(self, hello: Hello | None = None) -> None:
        """Preface and hello; does not wait for an answer."""
        self.say(dst_preface.client_preface(dst_preface.NONE, self.session))
        self.say(record(dst_records.HELLO, (hello or self.hello()).pack()))

    def welcome(self, hello: Hello | None = None) -> Welcome:
        """Greet, and what the server grants."""
        self.greet(hello)
        dst_preface.check_server(self.hear(dst_preface.SERVER.size), dst_preface.NONE)
        kind, body = self.record()
        assert kind == dst_records.WELCOME, body
        return Welcome.parse(body)

    def notice(self) -> int:
        """The code of the notice that comes next, after which the server closes."""
        kind, body = self.record()
        assert kind == dst_records.NOTICE, f"a record of type {kind}"
        assert self.is_closed()
        return dst_hello.parse_reason(body)[0]

    def refused(self, hello: Hello) -> tuple[int, str]:
        """Greet, and code and words of the refusal."""
        self.greet(hello)
        self.hear(dst_preface.SERVER.size)
        return self.refusal()

    def goodbye(self) -> None:
        """Say goodbye and leave."""
        self.say(record(dst_records.NOTICE, dst_hello.pack_reason(dst_hello.GOODBYE, "")))
        assert self.is_closed()

    def refusal(self) -> tuple[int, str]:
        """Code and words of the refusal that comes next, after which the server closes."""
        kind, body = self.record()
        assert kind == dst_records.REFUSAL, f"a record of type {kind}"
        code, error = dst_hello.parse_reason(body)
        assert self.is_closed()
        return code, error.what

    def answers(self, count: int = 1) -> list[tuple[int, int, bytes]]:
        """Id, status and payload of so many replies, in their order."""
        found: list[tuple[int, int, bytes]] = []
        while len(found) < count:
            kind, heads, body = self.whole_record()
            assert kind == dst_records.REPLIES, f"a record of type {kind}"
            position = REPLY.size * heads
            for id_, status, _, size in REPLY.iter_unpack(body[:position]):
                if size >= dst_records.CROSSOVER:
                    found.append((id_, status, b"announced"))
                else:
                    found.append((id_, status, body[position : position + size]))
                    position += size
            for index, (id_, status, payload) in enumerate(found):
                if payload == b"announced":
                    found[index] = (id_, status, self.record()[1])
        return found


class RawServer:
    """A server that says what it is told; each connection is a Talker."""

    def __init__(self, hall: DstHall, name: str = "raw") -> None:
        self.hall = hall
        self.path: Path = hall.folder / name
        self.endpoint = Endpoint("unix", path=str(self.path))
        self.talkers: list[Talker] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(16)
        self.socket.setblocking(False)

    def __enter__(self) -> "RawServer":
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()
        for talker in self.talkers:
            talker.close()

    def accept(self) -> Talker:
        """The next client."""
        taken: list[Talker] = []

        def accepted() -> bool:
            try:
                taken.append(Talker(self.hall, self.socket.accept()[0]))
            except BlockingIOError:
                return False
            return True

        self.hall.until(accepted)
        self.talkers += taken
        return taken[0]

    def accept_hello(self) -> tuple[Talker, Hello]:
        """The next client and its hello, unanswered."""
        talker = self.accept()
        talker.hear(dst_preface.CLIENT.size)
        kind, body = talker.record()
        assert kind == dst_records.HELLO
        return talker, Hello.parse(body)

    def welcome(self, welcome: Welcome = WELCOME) -> Talker:
        """The next client, welcomed."""
        talker, _ = self.accept_hello()
        talker.say(dst_preface.server_preface(dst_preface.NONE, 0))
        talker.say(record(dst_records.WELCOME, welcome.pack()))
        return talker


def requests_of(talker: Talker, count: int = 1) -> list[tuple[int, int, int, int]]:
    """(id, op, offset, length) of so many requests that a client sends, pings left out."""
    found: list[tuple[int, int, int, int]] = []
    while len(found) < count:
        length, kind, _, heads = dst_records.HEADER.unpack(talker.hear(8))
        body = talker.hear(length)
        if kind == dst_records.REQUESTS:
            for id_, offset, size, op, _, _ in REQUEST.iter_unpack(
                body[FLOOR.size : FLOOR.size + REQUEST.size * heads]
            ):
                found.append((id_, op, offset, size))
    return found
