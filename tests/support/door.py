"""An export behind a gate, with sealed links, in this process; and a client of it that can say anything."""

import os
import socket
from collections.abc import Sequence

from dsttool.engine.config.authorized import AuthorizedKeys, Entry
from dsttool.engine.config.keys import PrivateKey
from dsttool.engine.export.access import Gate
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.node.dst import DstNode
from dsttool.engine.transport.channel import Channel
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.wire import dst_hello, dst_records, dst_security
from dsttool.engine.wire.dst_handshake import ClientHandshake
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import FLOOR, REPLY
from dsttool.engine.wire.dst_records import OutRecord, Record
from dsttool.engine.wire.dst_security import Security
from support.dst_hall import POLICY, DstHall
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
SERVER = PrivateKey(b"server's private key".ljust(32, b"."))
CIPHER = "aes256gcm"


def private(name: str) -> PrivateKey:
    """A key pair of that name."""
    return PrivateKey(name.encode().ljust(32, b"."))


def may(*, write: Sequence[str] = (), read: Sequence[str] = ()) -> AuthorizedKeys:
    """These names' keys may write, and those may read, the export."""
    entries = {
        private(name).public: Entry(private(name).public, name, read_write=frozenset({"disk"}))
        for name in write
    }
    for name in read:
        entries[private(name).public] = Entry(private(name).public, name, read_only=frozenset({"disk"}))
    return AuthorizedKeys(entries)


def of_client(name: str, *, server: bytes = b"", **invitation: bytes) -> Security:
    """The security of a client with the key of that name."""
    return dst_security.of_client(
        CIPHER,
        private(name).secret,
        server or SERVER.public,
        **invitation,  # type: ignore[arg-type]
    )


class Door:
    """One device named "disk" behind a gate, for keys."""

    def __init__(
        self, hall: DstHall, gate: Gate, *, security: Security | None = None, tcp: bool = False
    ) -> None:
        self.hall = hall
        self.gate = gate
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.offer = Offer("disk", self.device)
        sealed = dst_security.of_server(CIPHER, SERVER.secret, gate.knows, gate.invitation_key)
        self.server = DstServer(hall.reactor, [self.offer], security=security or sealed, gate=gate)
        place = Endpoint("tcp", "127.0.0.1", 0) if tcp else Endpoint("unix", path=str(hall.folder / "door"))
        self._listener = Listener(hall.reactor, place, self.server.accept)
        self.endpoint = self._listener.endpoint
        self._listener.start()
        self._clients: list[Client] = []
        self._strangers: list[socket.socket] = []

    def close(self) -> None:
        for node in list(self.hall.nodes):
            node.close(lambda node=node: self.hall.nodes.remove(node))  # type: ignore[misc]
        self.hall.until(lambda: not self.hall.nodes)
        for client in self._clients:
            client.channel.close()
        for stranger in self._strangers:
            stranger.close()
        self._listener.close()
        self.server.close()
        self.gate.close()

    def stranger(self) -> socket.socket:
        """A bare connection."""
        if self.endpoint.family == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.endpoint.path)
        else:
            sock = socket.create_connection((self.endpoint.host, self.endpoint.port))
        sock.setblocking(False)
        self._strangers.append(sock)
        return sock

    def client(self, security: Security) -> "Client":
        """A connection with this security that has said nothing yet."""
        sock = self.stranger()
        self._strangers.remove(sock)
        client = Client(self.hall, sock, security)
        self._clients.append(client)
        return client

    def node(self, security: Security, *, read_only: bool = False) -> DstNode | DsttoolError:
        """A connected node, or why it is not connected."""
        node = DstNode(
            self.hall.reactor,
            "n",
            self.endpoint,
            "disk",
            policy=POLICY,
            security=security,
            read_only=read_only,
        )
        answers: list[DsttoolError | None] = []
        node.connect(answers.append)
        self.hall.until(lambda: bool(answers))
        self.hall.nodes.append(node)
        return answers[0] or node


class Client:
    """A client that shakes hands as it must, and then says what it likes."""

    def __init__(self, hall: DstHall, sock: socket.socket, security: Security) -> None:
        self.hall = hall
        self.session = os.urandom(16)
        self.is_open = self.ended = False
        self.why: DsttoolError | None = None
        self.records: list[tuple[int, bytes]] = []
        self.channel = Channel(hall.reactor, sock, self, ClientHandshake(security, self.session))
        self.channel.start()

    def say(self, kind: int, body: bytes, count: int = 0) -> None:
        """Send one record."""
        record: OutRecord = (kind, count, len(body), [body])
        self.channel.send([record])
        self.channel.flush()

    def greet(self, *, read_only: bool = False, export: str = "disk") -> Welcome | DsttoolError:
        """Say hello; the welcome, or why there is none."""
        self.hall.until(lambda: self.is_open or self.ended)
        if not self.is_open:
            assert self.why is not None
            return self.why
        access = dst_hello.READ_ONLY if read_only else dst_hello.READ_WRITE
        self.say(dst_records.HELLO, Hello(self.session, 1, export, access=access).pack())
        self.hall.until(lambda: bool(self.records) or self.ended)
        if not self.records:
            assert self.why is not None, "closed without a word"
            return self.why
        kind, body = self.records.pop(0)
        if kind == dst_records.WELCOME:
            return Welcome.parse(body)
        assert kind == dst_records.REFUSAL
        return dst_hello.parse_reason(body)[1]

    def request(self, *heads: bytes, payload: bytes = b"") -> None:
        """Send a batch of requests."""
        self.say(dst_records.REQUESTS, FLOOR.pack(0) + b"".join(heads) + payload, len(heads))

    def status(self) -> int:
        """The status of the next reply."""
        self.hall.until(lambda: bool(self.records) or self.ended)
        kind, body = self.records.pop(0)
        assert kind == dst_records.REPLIES
        return int(REPLY.unpack_from(body)[1])

    # -- RecordReceiver --------------------------------------------------------------------------------

    def opened(self) -> None:
        self.is_open = True

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        self.records += [(kind, bytes(view[start:end])) for kind, _, start, end in records]
        return len(records), False

    def broken(self, error: DsttoolError) -> None:
        self.why = error
        self.ended = True
        self.channel.close()

    def drained(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.ended = True
