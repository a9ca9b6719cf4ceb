"""The client's side of NBD without I/O: the handshake, and packing requests.

The server speaks first: feed every byte it sends to `ClientHandshake.receive`, which returns what
to send back, until `done` or `error`. Modes:

  go    choose the export and enter transmission; `info` describes it, `leftover` is transmission's
  info  ask about the export and leave; `info`
  list  ask for the exports and leave; `listed` holds (name, description)

When `info` or `list` is done, and whenever there is an `error`, send what `receive` returned (a
polite goodbye), then close the connection.

With `tls` the server must agree to STARTTLS before anything else is asked. When it has, `securing` is
true: shake hands by TLS on the same connection, then go on inside with what `secured` returns.

State        waits for             event                              answer            next
-----------  --------------------  ---------------------------------  ----------------  -----------
greeting     18 bytes              not NBD, or oldstyle               -                 error
                                   FIXED_NEWSTYLE, tls                flags, STARTTLS   reply
                                   not fixed, tls                     -                 error
                                   FIXED_NEWSTYLE, mode go            flags,            reply
                                                                      STRUCTURED_REPLY
                                   FIXED_NEWSTYLE, else               flags, option     reply
                                   not fixed, mode list               -                 error
                                   not fixed, else                    flags, EXPORT_-   size
                                                                      NAME
reply        20 bytes              wrong magic, option or length      -                 error
                                   otherwise                          -                 reply data
reply data   the reply's data      to STARTTLS: ACK                   -                 securing
                                   to STARTTLS: anything else         ABORT             error
                                   to STRUCTURED_REPLY: ACK, error    option            reply
                                   SERVER, INFO                       -                 reply
                                   ACK, mode go                       -                 done
                                   ACK, else                          ABORT             done
                                   ERR_UNSUP, mode go or info         EXPORT_NAME       size
                                   any other error                    ABORT             error
size         10 bytes, and 124     size and flags, mode go            -                 done
             zeroes if they were   size and flags, mode info          DISCONNECT        done
             not waived
securing     `secured`             mode go                            STRUCTURED_REPLY  reply
                                   else                               option            reply
             bytes in the clear                                       -                 error
any          (the peer closes)     `peer_closed`                      -                 error

Rules:
* The mode's option asks for everything at once: name, description and block sizes.
* With tls nothing is asked, told or believed in the clear: no name goes out, and bytes that come with
  the answer to STARTTLS, before TLS begins, end it (they are somebody's attempt to speak for the server).
* Whether the server has structured replies does not matter to the export: any error means that not.
* A server sends nothing here that is kept beyond one reply of OPTION_BYTES_MAX, and a list of
  LIST_BYTES_MAX; nothing it sends raises. The caller bounds the time.
"""

from collections.abc import Callable
from typing import Final, Literal

from dsttool.engine.vocabulary import limits, operations
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, NotFound, ProtocolError, Unreachable
from dsttool.engine.wire import nbd
from dsttool.engine.wire.nbd import ExportInfo

Mode = Literal["go", "info", "list"]

_OPTIONS: Final = {"go": nbd.OPT_GO, "info": nbd.OPT_INFO, "list": nbd.OPT_LIST}
_WANTED: Final = (nbd.INFO_NAME, nbd.INFO_DESCRIPTION, nbd.INFO_BLOCK_SIZE)
_INFO_SIZES: Final = {
    nbd.INFO_EXPORT: nbd.INFO_EXPORT_DATA.size,
    nbd.INFO_BLOCK_SIZE: nbd.INFO_BLOCK_SIZE_DATA.size,
}


class ClientHandshake:
    """One connection's handshake. See the head of this file for its states and rules.

    done: it succeeded; info or listed hold the answer. error: it failed, and why. securing: see above.
    leftover: bytes that belong to transmission, once done in mode go. structured: whether the server
    will send structured replies.
    """

    def __init__(self, export: str, mode: Mode = "go", *, tls: bool = False) -> None:
        self.done = False
        self.securing = False
        self.error: DsttoolError | None = None
        self.info: ExportInfo | None = None
        self.listed: list[tuple[str, str]] = []
        self.leftover = b""
        self.structured = False
        self._export = export
        self._mode = mode
        self._tls = tls
        self._option = _OPTIONS[mode]
        self._buffer = bytearray()
        self._needed = nbd.GREETING.size
        self._step: Callable[[bytes], bytes] = self._greeting
        self._reply_type = 0
        self._zeroes = False
        self._size_and_flags: tuple[int, int] | None = None
        self._name = export
        self._description = ""
        self._block_sizes = (nbd.BLOCK_MIN_DEFAULT, nbd.BLOCK_PREFERRED_DEFAULT, limits.REQUEST_MAX)
        self._listed_bytes = 0

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take bytes from the server; return bytes for it. Raises nothing: look at `error`."""
        assert not self.done, "bytes after the handshake belong to transmission"
        assert not self.securing, "bytes after STARTTLS belong to TLS"
        if self.error:
            return b""
        self._buffer += data
        out = b""
        try:
            self._check_first_bytes()
            while not (self.done or self.error or self.securing) and len(self._buffer) >= self._needed:
                taken = bytes(self._buffer[: self._needed])
                del self._buffer[: self._needed]
                out += self._step(taken)
        except DsttoolError as error:
            self.error = error
        if self.done:
            self.leftover = bytes(self._buffer)
        if self.done or self.error:
            self._buffer.clear()
        return out

    def secured(self) -> bytes:
        """TLS protects the connection from here on: what to send in it."""
        assert self.securing, "nobody asked for TLS"
        self.securing = False
        return self._begin()

    def peer_closed(self) -> None:
        """The server closed the connection: turns that into an `error`."""
        if self.done or self.error:
            return
        if self._step == self._greeting:
            self.error = ProtocolError("The peer closed the connection without an NBD greeting.")
        elif self._option == nbd.OPT_EXPORT_NAME:
            self.error = NotFound(
                f"The server closed the connection: it has no export named '{self._shown}', "
                "or does not admit this client.",
                "It is too old to say more; its log may.",
            )
        else:
            self.error = Unreachable("The server closed the connection during the handshake.")

    # -- States

    def _check_first_bytes(self) -> None:
        """A peer that is no NBD server is told by its first bytes; it may never send 18 of them."""
        if self._step == self._greeting:
            start = bytes(self._buffer[:8])
            if not nbd.INIT_MAGIC.to_bytes(8, "big").startswith(start):
                raise ProtocolError("The peer is not an NBD server.", "Check host, port and scheme.")

    def _greeting(self, data: bytes) -> bytes:
        _, magic, flags = nbd.GREETING.unpack(data)
        if magic == nbd.OLDSTYLE_MAGIC:
            raise ProtocolError("The server speaks only oldstyle NBD.", "Use a newer server.")
        if magic != nbd.OPTION_MAGIC:
            raise ProtocolError("The peer is not an NBD server: its second magic is wrong.")
        answer = flags & (nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES)
        self._zeroes = not flags & nbd.FLAG_NO_ZEROES
        out = nbd.CLIENT_FLAGS.pack(answer)
        if self._tls:
            if not flags & nbd.FLAG_FIXED_NEWSTYLE:
                raise Forbidden("The server is too old for TLS.", "Use a newer server.")
            return out + self._offer(nbd.OPT_STARTTLS)
        if flags & nbd.FLAG_FIXED_NEWSTYLE:
            return out + self._begin()
        if self._mode == "list":
            raise ProtocolError("The server is too old to list its exports.")
        return out + self._ask_by_export_name()

    def _begin(self) -> bytes:
        return self._offer(nbd.OPT_STRUCTURED_REPLY) if self._mode == "go" else self._ask()

    def _offer(self, option: int) -> bytes:
        self._await_reply()
        self._option = option
        return _pack_option(option)

    def _tls_answered(self, data: bytes) -> bytes:
        """The answer to STARTTLS: there is no going on without."""
        if self._reply_type == nbd.REP_ACK and not data:
            if self._buffer:
                raise ProtocolError(
                    "The server went on in the clear when TLS should have begun.",
                    "Somebody on the way may have put that in: check the network.",
                )
            self.securing = True
            return b""
        if not self._reply_type & nbd.REP_IS_ERROR:
            raise ProtocolError(f"The server answered with reply type {self._reply_type}.")
        self.error = Forbidden(
            f"The server refuses TLS.{_said(data)}",
            "Give it certificates and tell it to require TLS; nbd:// goes without, in a network you trust.",
        )
        return _pack_option(nbd.OPT_ABORT)

    def _offered(self, data: bytes) -> bytes:
        """The answer to the offer of structured replies."""
        self.structured = self._reply_type == nbd.REP_ACK
        if (data and self.structured) or not (self.structured or self._reply_type & nbd.REP_IS_ERROR):
            raise ProtocolError(f"The server answered with reply type {self._reply_type}.")
        return self._ask()

    def _ask(self) -> bytes:
        self._await_reply()
        self._option = _OPTIONS[self._mode]
        if self._mode == "list":
            return _pack_option(nbd.OPT_LIST)
        name = self._export.encode()
        data = nbd.STRING_LENGTH.pack(len(name)) + name + nbd.INFO_TYPE.pack(len(_WANTED))
        return _pack_option(self._option, data + b"".join(map(nbd.INFO_TYPE.pack, _WANTED)))

    def _ask_by_export_name(self) -> bytes:
        self._option = nbd.OPT_EXPORT_NAME
        self._step = self._export_name_reply
        self._needed = nbd.EXPORT_NAME_REPLY.size
        if self._zeroes:
            self._needed += len(nbd.EXPORT_NAME_ZEROES)
        return _pack_option(nbd.OPT_EXPORT_NAME, self._export.encode())

    def _await_reply(self) -> None:
        self._step = self._reply_header
        self._needed = nbd.OPTION_REPLY.size

    def _reply_header(self, data: bytes) -> bytes:
        magic, option, self._reply_type, length = nbd.OPTION_REPLY.unpack(data)
        if magic != nbd.OPTION_REPLY_MAGIC:
            raise ProtocolError("The server broke the NBD protocol: an option reply has the wrong magic.")
        if option != self._option:
            raise ProtocolError(f"The server answered option {option}, not {self._option}.")
        if length > limits.OPTION_BYTES_MAX:
            raise ProtocolError(f"The server sent an option reply of {length} bytes.")
        self._step = self._reply_data
        self._needed = length
        return b""

    def _reply_data(self, data: bytes) -> bytes:
        self._await_reply()
        if self._option == nbd.OPT_STARTTLS:
            return self._tls_answered(data)
        if self._option == nbd.OPT_STRUCTURED_REPLY:
            return self._offered(data)
        if self._reply_type & nbd.REP_IS_ERROR:
            return self._refused(data)
        if self._reply_type == nbd.REP_ACK:
            return self._acked()
        if self._reply_type == nbd.REP_SERVER and self._mode == "list":
            self._listed_export(data)
        elif self._reply_type == nbd.REP_INFO and self._mode != "list":
            self._information(data)
        else:
            raise ProtocolError(f"The server answered with reply type {self._reply_type}.")
        return b""

    def _export_name_reply(self, data: bytes) -> bytes:
        self._size_and_flags = nbd.EXPORT_NAME_REPLY.unpack_from(data)
        self._finish_info()
        if self._mode == "go":
            return b""
        return pack_request(operations.DISCONNECT, 0, 0, 0, 0)

    # -- Answers

    def _acked(self) -> bytes:
        if self._mode == "list":
            self.done = True
        else:
            self._finish_info()
        return b"" if self._mode == "go" else _pack_option(nbd.OPT_ABORT)

    def _finish_info(self) -> None:
        if self._size_and_flags is None:
            raise ProtocolError("The server did not tell the export's size.")
        size, flags = self._size_and_flags
        if size > nbd.SIZE_MAX:
            raise ProtocolError(f"The server says the export has {size} bytes.")
        block_min, preferred, payload_max = self._block_sizes
        if block_min.bit_count() != 1 or block_min > min(nbd.BLOCK_MIN_MAX, payload_max):
            raise ProtocolError(f"The server wants blocks of {block_min} to {payload_max} bytes.")
        self.info = ExportInfo(
            name=self._name,
            description=self._description,
            size=size,
            block_min=block_min,
            block_preferred=max(preferred, block_min),
            payload_max=min(payload_max - payload_max % block_min, limits.REQUEST_MAX),
            **nbd.switches(flags),
        )
        self.done = True

    def _information(self, data: bytes) -> None:
        """One REP_INFO. Kinds this client does not know are ignored, as the specification wants."""
        if len(data) < nbd.INFO_TYPE.size:
            raise ProtocolError("The server sent an empty information reply.")
        (kind,) = nbd.INFO_TYPE.unpack_from(data)
        if len(data) != _INFO_SIZES.get(kind, len(data)):
            raise ProtocolError(f"The server sent information {kind} of {len(data)} bytes.")
        if kind == nbd.INFO_EXPORT:
            _, size, flags = nbd.INFO_EXPORT_DATA.unpack(data)
            self._size_and_flags = (size, flags)
        elif kind == nbd.INFO_BLOCK_SIZE:
            _, block_min, preferred, payload_max = nbd.INFO_BLOCK_SIZE_DATA.unpack(data)
            self._block_sizes = (block_min, preferred, payload_max)
        elif kind == nbd.INFO_NAME:
            self._name = _decode(data[nbd.INFO_TYPE.size :])
        elif kind == nbd.INFO_DESCRIPTION:
            self._description = _decode(data[nbd.INFO_TYPE.size :])

    def _listed_export(self, data: bytes) -> None:
        self._listed_bytes += nbd.OPTION_REPLY.size + len(data)
        if self._listed_bytes > limits.LIST_BYTES_MAX:
            raise ProtocolError(f"The server's list of exports is longer than {limits.LIST_BYTES_MAX} bytes.")
        if len(data) < nbd.STRING_LENGTH.size:
            raise ProtocolError("The server sent a malformed list of exports.")
        (length,) = nbd.STRING_LENGTH.unpack_from(data)
        end = nbd.STRING_LENGTH.size + length
        if end > len(data):
            raise ProtocolError("The server sent a malformed list of exports.")
        self.listed.append((_decode(data[nbd.STRING_LENGTH.size : end]), _decode(data[end:])))

    def _refused(self, data: bytes) -> bytes:
        if self._reply_type == nbd.REP_ERR_UNSUP and self._mode != "list":
            return self._ask_by_export_name()
        self.error = _refusal(self._reply_type, self._mode, self._shown, data)
        return _pack_option(nbd.OPT_ABORT)

    @property
    def _shown(self) -> str:
        return nbd.printable(self._export)


def _refusal(kind: int, mode: Mode, export: str, data: bytes) -> DsttoolError:
    """The error for people that stands for an error reply."""
    said = _said(data)
    what = "list its exports" if mode == "list" else f"give out export '{export}'"
    if kind == nbd.REP_ERR_UNKNOWN:
        return NotFound(
            f"The server has no export named '{export}'.{said}", "`dsttool info` lists its exports."
        )
    if kind == nbd.REP_ERR_POLICY:
        return Forbidden(f"The server's policy forbids to {what}.{said}", "Ask whoever runs it.")
    if kind == nbd.REP_ERR_TLS_REQD:
        return Forbidden(
            f"The server wants TLS to {what}.{said}",
            "Write nbds:// for TLS, with tls-certificates=FOLDER unless the system knows who signed.",
        )
    if kind == nbd.REP_ERR_SHUTDOWN:
        return Unreachable(f"The server is shutting down.{said}")
    reason = {
        nbd.REP_ERR_UNSUP: "it does not support that",
        nbd.REP_ERR_INVALID: "it finds the request invalid",
        nbd.REP_ERR_PLATFORM: "its platform does not support that",
        nbd.REP_ERR_BLOCK_SIZE_REQD: "it wants block sizes negotiated, though they were",
        nbd.REP_ERR_TOO_BIG: "it finds the request too big",
    }.get(kind, f"error {kind & ~nbd.REP_IS_ERROR}")
    return ProtocolError(f"The server did not {what}: {reason}.{said}")


def _said(data: bytes) -> str:
    message = nbd.printable(data.decode(errors="replace"), 512)
    return f' It says: "{message}"' if message else ""


def _pack_option(option: int, data: bytes = b"") -> bytes:
    return nbd.OPTION.pack(nbd.OPTION_MAGIC, option, len(data)) + data


def _decode(data: bytes) -> str:
    return nbd.printable(data.decode(errors="replace"), limits.NAME_BYTES_MAX)


# -- Transmission


def pack_request(op: int, flags: int, cookie: int, offset: int, length: int) -> bytes:
    """The header of a request; a WRITE's payload follows it."""
    return nbd.REQUEST.pack(nbd.REQUEST_MAGIC, flags, op, cookie, offset, length)
