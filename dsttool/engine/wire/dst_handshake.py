"""What both ends say before the first record: prefaces, and in sealed modes a Noise handshake. Pure.

    security none     client                                   server
                        preface, hello              ->
                                                    <-           preface, welcome
    checksum            preface                     ->
                                                    <-           preface
                        hello                       ->
    sealed              preface                     ->
                                                    <-           preface
                        length, first message       ->
                                                    <-           length, second message
                        hello, sealed               ->

A Noise message comes after its length, a u16, big-endian, at most MESSAGE_MAX. The prologue is all 40
bytes of both prefaces: whoever changes one of them on the way breaks the handshake. Payloads are empty,
except that a client may send the id of its invitation in the first message; the invitation's key is then
the psk, which is zeros for everybody else who has a key pair. A server that does not go on answers with
length 0, whatever the reason was, and closes: its log says why, a stranger learns nothing.

The first message may be a recorded one (see noise): it is answered, that is all. Only the record that
opens under the keys of this handshake proves who is there. Nothing may be changed before that.

Each side is one object that is fed messages of exactly `need` bytes and gives what to send. `open`: it may
send records. `done`: records follow. `error`: the connection ends when what was given has been sent.
"""

from abc import ABC, abstractmethod
from typing import Final

from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError
from dsttool.engine.wire import dst_preface
from dsttool.engine.wire.dst_security import CHECKSUMS, Security
from dsttool.engine.wire.noise import NoiseHandshake
from dsttool.engine.wire.noise_cipher import Cipher

# A first message of IKpsk2 with an invitation's id has 160 bytes; there is nothing longer.
MESSAGE_MAX: Final = 256
_LENGTH_BYTES: Final = 2


class Handshake(ABC):
    """What both sides have in common.

    session: the routing hint, once it is known. ciphers: (send, receive), once done, in sealed modes.
    checksum: the name of the one chosen, once done, in mode checksum. peer_key: the peer's public key, in
    modes with identities: of a client only believe it once a record of its has opened. invitation: the id
    that the client showed.
    """

    def __init__(self, security: Security, session: bytes, need: int) -> None:
        self.security = security
        self.session = session
        self.need = need
        self.open = self.done = False
        self.error: DsttoolError | None = None
        self.ciphers: tuple[Cipher, Cipher] | None = None
        self.checksum = ""
        self.invitation = b""
        self._noise: NoiseHandshake | None = None
        self._in_message = False

    @property
    def peer_key(self) -> bytes | None:
        """See the class."""
        return None if self._noise is None else self._noise.remote_static

    def begin(self) -> bytes:
        """What this side says first."""
        return b""

    def take(self, message: bytes) -> bytes:
        """The peer's next `need` bytes; what to send. Raises DsttoolError where there is nothing to say."""
        if self._noise is None:
            return self._take_preface(message)
        if self._in_message:
            return self._take_message(message)
        self.need = int.from_bytes(message, "big")
        self._in_message = True
        if not self.need:
            raise Forbidden(
                "The other end refused the handshake: the keys do not fit, or it does not know this one.",
                "Compare the keys on both sides (dsttool key show), and authorise this one there.",
            )
        if self.need > MESSAGE_MAX:
            raise ProtocolError(f"A handshake message of {self.need} bytes is longer than any that fits.")
        return b""

    @abstractmethod
    def _take_preface(self, message: bytes) -> bytes: ...

    @abstractmethod
    def _take_message(self, message: bytes) -> bytes: ...

    def _shake(self, *, initiator: bool, prologue: bytes) -> NoiseHandshake:
        security = self.security
        self.need = _LENGTH_BYTES
        self._noise = NoiseHandshake(
            security.protocol,
            initiator=initiator,
            prologue=prologue,
            static=security.static,
            remote_static=security.server if initiator else None,
            psk=security.psk,
        )
        return self._noise

    def _finish(self) -> None:
        if self._noise is not None:
            self.ciphers = self._noise.split()
        self.open = self.done = True


class ClientHandshake(Handshake):
    """The client's side."""

    def __init__(self, security: Security, session: bytes) -> None:
        super().__init__(security, session, dst_preface.SERVER.size)
        self.open = not (security.sealed or security.checksums)
        self._preface = dst_preface.client_preface(security.code, session, security.checksum_bits)

    def begin(self) -> bytes:
        """The preface."""
        return self._preface

    def _take_preface(self, message: bytes) -> bytes:
        chosen = dst_preface.check_server(message, self.security.code)
        if self.security.sealed:
            noise = self._shake(initiator=True, prologue=self._preface + message)
            return _framed(noise.write_message(self.security.invitation))
        if self.security.checksums:
            names = [name for name in self.security.checksums if CHECKSUMS[name] == chosen]
            if not names:
                raise ProtocolError("The server chose a checksum that was not offered.")
            self.checksum = names[0]
        self._finish()
        return b""

    def _take_message(self, message: bytes) -> bytes:
        assert self._noise is not None
        if self._noise.read_message(message):
            raise ProtocolError("The server's handshake message has a payload, and must not.")
        self._finish()
        return b""


class ServerHandshake(Handshake):
    """The server's side."""

    def __init__(self, security: Security) -> None:
        super().__init__(security, b"", dst_preface.CLIENT.size)

    def _take_preface(self, message: bytes) -> bytes:
        code = self.security.code
        try:
            preface = dst_preface.parse_client(message)
        except ProtocolError as error:
            return self._refuse_preface(dst_preface.REFUSED_VERSION, error)
        chosen = next((n for n in self.security.checksums if CHECKSUMS[n] & preface.checksums), "")
        refusal = dst_preface.refusal_of(preface, code)
        if self.security.checksums and not chosen:
            refusal = refusal or dst_preface.REFUSED_SECURITY
        if refusal:
            what = "version" if refusal == dst_preface.REFUSED_VERSION else "security"
            return self._refuse_preface(refusal, ProtocolError(f"It wants another {what} than is offered."))
        self.session = preface.session
        self.checksum = chosen
        answer = dst_preface.server_preface(code, 0, CHECKSUMS.get(chosen, 0))
        if self.security.sealed:
            self._shake(initiator=False, prologue=message + answer)
        else:
            self._finish()
        return answer

    def _refuse_preface(self, refusal: int, error: ProtocolError) -> bytes:
        self.error = error
        return dst_preface.server_preface(self.security.code, refusal)

    def _take_message(self, message: bytes) -> bytes:
        try:
            answer = self._answer(message)
        except DsttoolError as error:
            self.error = error
            return _framed(b"")
        self._finish()
        return _framed(answer)

    def _answer(self, message: bytes) -> bytes:
        """The second message. Raises why there is none."""
        noise, security = self._noise, self.security
        assert noise is not None
        self.invitation = noise.read_message(message)
        if self.invitation:
            psk = security.psk_for(self.invitation) if security.static is not None else None
            if psk is None:
                raise Forbidden("It shows an invitation that is not, or no longer, there.")
            noise.replace_psk(psk)
        elif security.admits is not None and not security.admits(noise.remote_static or b""):
            raise Forbidden("Its key is not authorised.", "Authorise it with `dsttool key authorize`.")
        return noise.write_message()


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(_LENGTH_BYTES, "big") + message
