"""What both ends say before the first record: the prefaces. Pure.

    client                                   server
      preface, 32 bytes           ->
                                  <-           preface, 8 bytes

Each side is one object that is fed whole messages and gives what to send. `need` bytes make the next
message; `done` means that records follow; `error` that the connection must end once what was given has
been sent. In security none the client need not wait: its records may follow its preface at once.
"""

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.wire import dst_preface


class ClientHandshake:
    """The client's side. May send records when `open`, even before the server's answer."""

    def __init__(self, security: int, session: bytes) -> None:
        self.session = session
        self.need = dst_preface.SERVER.size
        self.open = security == dst_preface.NONE
        self.done = False
        self.error: ProtocolError | None = None
        self._security = security

    def begin(self) -> bytes:
        """What the client says first."""
        return dst_preface.client_preface(self._security, self.session)

    def take(self, message: bytes) -> bytes:
        """The server's next `need` bytes; what to send. Raises ProtocolError if it is not ours."""
        dst_preface.check_server(message, self._security)
        self.open = self.done = True
        return b""


class ServerHandshake:
    """The server's side. `session` is the routing hint, known once the preface came."""

    def __init__(self, security: int) -> None:
        self.session = b""
        self.need = dst_preface.CLIENT.size
        self.open = self.done = False
        self.error: ProtocolError | None = None
        self._security = security

    def begin(self) -> bytes:
        """The server speaks when spoken to."""
        return b""

    def take(self, message: bytes) -> bytes:
        """The client's next `need` bytes; what to send."""
        try:
            preface = dst_preface.parse_client(message)
        except ProtocolError as error:
            self.error = error
            return dst_preface.server_preface(self._security, dst_preface.REFUSED_VERSION)
        answer, refusal = dst_preface.answer(preface, self._security)
        if refusal:
            self.error = ProtocolError("The client wants another version or security than this listener's.")
        else:
            self.session = preface.session
            self.open = self.done = True
        return answer
