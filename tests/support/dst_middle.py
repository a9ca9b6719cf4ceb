"""A man in the middle of DST links: carries bytes both ways, and may change, hold, cut or repeat them."""

import socket
from collections.abc import Callable

from dsttool.engine.runtime.reactor import READABLE, WRITABLE
from dsttool.engine.vocabulary.endpoint import Endpoint
from support.dst_hall import DstHall, Export

# Gets the bytes, and how many came before in that direction of that connection; gives what goes on.
# None: both sides of the connection are closed.
Change = Callable[[bytes, int], bytes | None]


def unchanged(data: bytes, _before: int) -> bytes | None:
    return data


class _Pipe:
    """One direction of one connection."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self.before = 0


class Middle:
    """Listens in front of an export. to_server, to_client: what happens to what goes there."""

    def __init__(self, hall: DstHall, export: Export) -> None:
        self.to_server: Change = unchanged
        self.to_client: Change = unchanged
        self.connections = 0
        self._reactor = hall.reactor
        self._export = export
        self._socket = socket.socket(socket.AF_UNIX)
        path = str(hall.folder / f"middle{id(self)}")
        self._socket.bind(path)
        self._socket.listen(16)
        self._socket.setblocking(False)
        self._pairs: dict[socket.socket, tuple[socket.socket, bool, _Pipe]] = {}
        self._reactor.register(self._socket.fileno(), self._accept)
        self.endpoint = Endpoint("unix", path=path)

    def __enter__(self) -> "Middle":
        return self

    def __exit__(self, *_error: object) -> None:
        self._reactor.unregister(self._socket.fileno())
        self._socket.close()
        while self._pairs:
            self._end(next(iter(self._pairs)))

    def _accept(self, _events: int) -> None:
        client, _ = self._socket.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._export.endpoint.path)
        self.connections += 1
        for source, target, to_server in ((client, server, True), (server, client, False)):
            source.setblocking(False)
            self._pairs[source] = (target, to_server, _Pipe())
            self._reactor.register(source.fileno(), lambda _e, source=source: self._carry(source))  # type: ignore[misc]

    def _carry(self, source: socket.socket) -> None:
        """Everything that `source` has said, and what its other side did not take yet."""
        target, to_server, pipe = self._pairs[source]
        back = self._pairs[target][2]
        try:
            self._push(source, back)
            if not pipe.rest:
                data = source.recv(1 << 18)
                change = self.to_server if to_server else self.to_client
                changed = change(data, pipe.before) if data else None
                if changed is None:
                    self._end(source)
                    return
                pipe.before += len(data)
                pipe.rest += changed
            self._push(target, pipe)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._end(source)

    def _push(self, target: socket.socket, pipe: _Pipe) -> None:
        try:
            while pipe.rest:
                del pipe.rest[: target.send(pipe.rest)]
        except BlockingIOError:
            pass
        self._reactor.modify(target.fileno(), READABLE | (WRITABLE if pipe.rest else 0))

    def _end(self, sock: socket.socket) -> None:
        """Both sides of its connection."""
        target = self._pairs[sock][0]
        for each in (sock, target):
            del self._pairs[each]
            self._reactor.unregister(each.fileno())
            each.close()
