"""An NBD server in this process, and bare clients on socket pairs that can say anything to it."""

import socket
import struct
from collections.abc import Callable
from types import TracebackType

from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.limits import MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import READ

SIZE = 8 * MIB
KNOWN = b"known bytes at the beginning"
# As long as the server is in this process, nothing that is going to come takes longer.
PATIENCE = 10 * SECOND


def packed(op: int, offset: int, length: int, cookie: int = 7, flags: int = 0) -> bytes:
    """The header of a request, true or not."""
    return struct.pack(">IHHQQI", 0x25609513, flags, op, cookie, offset, length)


class HeldDevice(Device):
    """Keeps every request until `release`; reads bring zeroes."""

    def __init__(self, size: int = SIZE) -> None:
        self.name = "held"
        self.identity = bytes(16)
        self.capabilities = Capabilities(size=size)
        self.held: list[Request] = []

    def submit(self, batch: list[Request]) -> None:
        self.held += batch

    def release(self) -> None:
        held, self.held = self.held, []
        for request in held:
            if request.op == READ:
                request.data = memoryview(bytes(request.length))
        if held:
            deliver(held)

    def close(self, done: Callable[[], None]) -> None:
        done()


class LateDevice(HeldDevice):
    """Answers whatever it holds 1 ms after the first of it came. `most` is what it ever held."""

    def __init__(self, reactor: Reactor, size: int = SIZE) -> None:
        super().__init__(size)
        self.reactor = reactor
        self.most = 0

    def submit(self, batch: list[Request]) -> None:
        if not self.held:
            self.reactor.call_later(MS, self.release)
        super().submit(batch)
        self.most = max(self.most, len(self.held))


class Hall:
    """A reactor, a server with one export, and its clients. `device` is what it exports."""

    def __init__(self, device: Device | None = None, *, read_only: bool = False) -> None:
        self.reactor = Reactor()
        self.device = device or MemoryDevice(self.reactor, SIZE)
        self.offer = Offer("disk", self.device, read_only=read_only)
        self.server = NbdServer(self.reactor, [self.offer])
        self.clients: list[Client] = []
        if device is None and not read_only:
            writer = self.client()
            writer.say(packed(1, 0, len(KNOWN)) + KNOWN)
            assert writer.reply() == (0, 7)

    def __enter__(self) -> "Hall":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()
        for client in self.clients:
            client.socket.close()
        self.reactor.close()

    def stranger(self) -> "Client":
        """A connection that has said nothing yet."""
        client = Client(self)
        self.clients.append(client)
        return client

    def client(self) -> "Client":
        """A client in transmission."""
        client = self.stranger()
        client.say(b"\0\0\0\3" + b"IHAVEOPT" + struct.pack(">IIIH", 7, 6, 0, 0))
        client.hear(18 + (20 + 12) + 20)
        return client

    def until(self, condition: Callable[[], bool], timeout: int = PATIENCE) -> bool:
        return self.reactor.run_until(condition, timeout)


class Client:
    """The far end of one connection."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        theirs.setblocking(False)
        before = set(hall.server.connections)
        hall.server.accept(theirs, "test")
        # None if the server refused it.
        self.connection = next(iter(hall.server.connections - before), None)
        self._heard = b""

    def say(self, data: bytes, timeout: int = PATIENCE) -> int:
        """Send; returns how much the server took in that time (all of it, unless it holds back)."""
        rest = memoryview(data)

        def said() -> bool:
            nonlocal rest
            try:
                while rest:
                    rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                rest = rest[:0]
            return not rest

        self.hall.until(said, timeout)
        return len(data) - len(rest)

    def hear(self, count: int) -> bytes:
        """Exactly `count` bytes from the server."""
        assert self.hall.until(lambda: self._read(count)), f"heard only {len(self._heard)} of {count} bytes"
        heard, self._heard = self._heard[:count], self._heard[count:]
        return heard

    def reply(self) -> tuple[int, int]:
        """Error and cookie of the next reply."""
        magic, error, cookie = struct.unpack(">IIQ", self.hear(16))
        assert magic == 0x67446698
        return error, cookie

    def is_closed(self, timeout: int = PATIENCE) -> bool:
        """Whether the server closes the connection, whatever it says before."""

        def closed() -> bool:
            try:
                while self.socket.recv(65536):
                    pass
            except BlockingIOError:
                return False
            except ConnectionResetError:
                pass
            return True

        return self.hall.until(closed, timeout)

    def is_served(self) -> bool:
        """Whether a request of this client is answered, and truly."""
        self.say(packed(READ, 0, len(KNOWN), cookie=0xFEED))
        return self.reply() == (0, 0xFEED) and self.hear(len(KNOWN)) == KNOWN

    def _read(self, count: int) -> bool:
        try:
            while len(self._heard) < count:
                more = self.socket.recv(1 << 20)
                assert more, f"closed after {len(self._heard)} of {count} bytes"
                self._heard += more
        except BlockingIOError:
            return False
        return True
