"""The server's side of an NBD handshake (fixed newstyle), as a state machine without I/O.

The server speaks first (`greeting`). Then every byte the client sends goes through `receive`,
which returns what to send back, until one of two ends:

* `done`: an export was chosen (`chosen`), the connection is in transmission now, and `leftover`
  holds the bytes that came after the handshake;
* `closed`: a sentence for the log. Send what `receive` returned, then close the connection.

In between it may stand still: `asks` names an export that the client has chosen, and before that is answered
it must be known whether the client may write. Give nothing to `receive` until `answer` was called; what
came behind is in `leftover`, to be given again.

State    waits for          event                                   answer           next
-------  -----------------  --------------------------------------  ---------------  -------
flags    4 bytes            flags we offered                        -                option
                            any other flag                          -                closed
option   16 bytes           wrong magic, or one option too many     -                closed
                            longer than OPTION_BYTES_MAX            TOO_BIG          skip
                            ... and it is EXPORT_NAME               -                closed
                            otherwise                               -                data
data     the option's data  EXPORT_NAME, GO, writing to be asked    -                asks
                            ... then as follows:
                            EXPORT_NAME, export found               size, flags      done
                            EXPORT_NAME, not found or not fitting   -                closed
                            ABORT                                   ACK              closed
                            LIST                                    SERVER..., ACK   option
                            INFO, export found                      INFO..., ACK     option
                            GO, export found                        INFO..., ACK     done
                            INFO, GO, not found                     UNKNOWN          option
                            INFO, GO, block sizes not asked for,    INFO, BLOCK_-    option
                            but larger than clients assume          SIZE_REQD
                            malformed                               INVALID          option
                            anything else                           UNSUP            option
skip     that many bytes    they came                               -                option

Rules:
* A client that did not answer FIXED_NEWSTYLE cannot read replies: only EXPORT_NAME serves it,
  anything else closes.
* Nothing a client sends raises or is kept beyond one option of OPTION_BYTES_MAX; the caller
  bounds the time of the whole handshake.
* The empty name is the default export: the only one, where there is only one.
* Block sizes: clients that do not negotiate them keep to multiples of 512 ("a client desiring
  maximum interoperability"). So an export with block_min up to 512 admits every client, and errors
  what is misaligned; with a larger one, only clients that ask for the block sizes are admitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from dsttool.engine.vocabulary import limits
from dsttool.engine.wire import nbd
from dsttool.engine.wire.nbd import ExportInfo

_FLAGS: Final = nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES
_GREETING: Final = nbd.GREETING.pack(nbd.INIT_MAGIC, nbd.OPTION_MAGIC, _FLAGS)

# The alignment that clients keep to without being told ("Block size constraints").
_BLOCK_MIN_ASSUMED: Final = 512


class Exports(Protocol):
    """The exports a server offers, as a handshake sees them."""

    def names(self) -> Sequence[str]:
        """The names of all exports, in the order to list them."""

    def find(self, name: str) -> ExportInfo | None:
        """The export of that name, or None. Whether it is read-only may change until it is chosen."""

    def asks(self, name: str) -> str:
        """If it must be asked whether a client that chooses this export may write: its own name. Else ""."""


class ServerHandshake:
    """One connection's handshake. See the head of this file for its states and rules.

    chosen: the export, once done. leftover: bytes that were not taken, once done or while it asks.
    asks: the name of an export, while it stands still. closed: why the connection must be closed, as a
    sentence, or "".
    """

    def __init__(self, exports: Exports) -> None:
        self.greeting = _GREETING
        self.done = False
        self.closed = ""
        self.chosen: ExportInfo | None = None
        self.leftover = b""
        self.asks = ""
        self._exports = exports
        # While it asks, the data of the option that chooses; afterwards, whether it may only read.
        self._held = b""
        self._read_only: bool | None = None
        self._buffer = bytearray()
        self._needed = nbd.CLIENT_FLAGS.size
        self._step: Callable[[bytes], bytes] = self._client_flags
        self._skip = 0
        self._fixed = False
        self._zeroes = True
        self._options = 0
        self._option = 0

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take bytes from the client; return bytes for it. Raises nothing."""
        assert not self.done, "bytes after the handshake belong to transmission"
        assert not self.asks, "nothing goes on before the question is answered"
        if self.closed:
            return b""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += data[skipped:]
        out = bytearray()
        while not (self.done or self.closed or self.asks) and len(self._buffer) >= self._needed:
            taken = bytes(self._buffer[: self._needed])
            del self._buffer[: self._needed]
            out += self._step(taken)
            self._drop_skipped()
        if self.done or self.asks:
            self.leftover = bytes(self._buffer)
        if self.done or self.closed or self.asks:
            self._buffer.clear()
        return bytes(out)

    def answer(self, *, read_only: bool) -> bytes:
        """Go on with the export that the client chose. Returns what to send."""
        self.asks = ""
        self._read_only = read_only
        data, self._held = self._held, b""
        reply = _HANDLERS[self._option](self, data)
        self._read_only = None
        return reply

    def _drop_skipped(self) -> None:
        skipped = min(self._skip, len(self._buffer))
        del self._buffer[:skipped]
        self._skip -= skipped

    # -- States

    def _client_flags(self, data: bytes) -> bytes:
        (flags,) = nbd.CLIENT_FLAGS.unpack(data)
        if flags & ~_FLAGS:
            self.closed = f"The client sent handshake flags that NBD does not define ({flags:#x})."
        self._fixed = bool(flags & nbd.FLAG_FIXED_NEWSTYLE)
        self._zeroes = not flags & nbd.FLAG_NO_ZEROES
        self._await_option()
        return b""

    def _await_option(self) -> None:
        self._step = self._option_header
        self._needed = nbd.OPTION.size

    def _option_header(self, data: bytes) -> bytes:
        magic, self._option, length = nbd.OPTION.unpack(data)
        self._options += 1
        if magic != nbd.OPTION_MAGIC:
            self.closed = "The client does not speak NBD: an option has the wrong magic."
        elif self._options > limits.HANDSHAKE_OPTIONS_MAX:
            self.closed = f"The client sent more than {limits.HANDSHAKE_OPTIONS_MAX} options."
        elif not self._fixed and self._option != nbd.OPT_EXPORT_NAME:
            self.closed = f"The client sent option {self._option} without fixed newstyle negotiation."
        elif length <= limits.OPTION_BYTES_MAX:
            self._step = self._option_data
            self._needed = length
        elif self._option == nbd.OPT_EXPORT_NAME:
            self.closed = f"The client sent an export name of {length} bytes."
        else:
            self._skip = length
            return self._reply(nbd.REP_ERR_TOO_BIG, b"The option is too long.")
        return b""

    def _option_data(self, data: bytes) -> bytes:
        self._await_option()
        handler = _HANDLERS.get(self._option)
        if handler is None:
            return self._reply(nbd.REP_ERR_UNSUP, b"This server does not know the option.")
        if self._option in (nbd.OPT_EXPORT_NAME, nbd.OPT_GO):
            self.asks, self._held = self._question(data), data
            if self.asks:
                return b""
        return handler(self, data)

    def _question(self, data: bytes) -> str:
        """What `asks` is for an EXPORT_NAME or GO with these data, be they well-formed or not."""
        parsed = _parse_info_request(data) if self._option == nbd.OPT_GO else (data, frozenset())
        name = None if parsed is None else _decode_name(parsed[0])
        return "" if name is None else self._exports.asks(self._resolved(name))

    # -- Options

    def _export_name(self, data: bytes) -> bytes:
        name = _decode_name(data)
        info = None if name is None else self._find(name)
        if name is None or info is None:
            self.closed = f"The client asked for an export that is not here ({_shown(data)})."
            return b""
        if info.block_min > _BLOCK_MIN_ASSUMED:
            self.closed = (
                f"The client asked for export {info.name!r} without negotiating block sizes, "
                f"but it needs blocks of {info.block_min} bytes."
            )
            return b""
        self.chosen = info
        self.done = True
        reply = nbd.EXPORT_NAME_REPLY.pack(info.size, nbd.transmission_flags(info))
        return reply + nbd.EXPORT_NAME_ZEROES if self._zeroes else reply

    def _abort(self, _data: bytes) -> bytes:
        self.closed = "The client ended the handshake."
        return self._reply(nbd.REP_ACK)

    def _list(self, data: bytes) -> bytes:
        if data:
            return self._reply(nbd.REP_ERR_INVALID, b"LIST takes no data.")
        out = b""
        for name in self._exports.names():
            info = self._exports.find(name)
            if info is not None:
                encoded = name.encode()
                data = nbd.STRING_LENGTH.pack(len(encoded)) + encoded + info.description.encode()
                out += self._reply(nbd.REP_SERVER, data)
        return out + self._reply(nbd.REP_ACK)

    def _info(self, data: bytes) -> bytes:
        parsed = _parse_info_request(data)
        if parsed is None:
            return self._reply(nbd.REP_ERR_INVALID, b"The option is malformed.")
        raw_name, wanted = parsed
        name = _decode_name(raw_name)
        if name is None:
            return self._reply(nbd.REP_ERR_INVALID, b"That is not a valid export name.")
        info = self._find(name)
        if info is None:
            return self._reply(nbd.REP_ERR_UNKNOWN, self._unknown(name).encode())
        if info.block_min > _BLOCK_MIN_ASSUMED and nbd.INFO_BLOCK_SIZE not in wanted:
            message = f"This export needs blocks of {info.block_min} bytes; ask for the block sizes."
            return self._block_sizes(info) + self._reply(nbd.REP_ERR_BLOCK_SIZE_REQD, message.encode())
        if self._option == nbd.OPT_GO:
            self.chosen = info
            self.done = True
        return self._describe(info, wanted)

    def _describe(self, info: ExportInfo, wanted: frozenset[int]) -> bytes:
        flags = nbd.transmission_flags(info)
        out = self._reply(nbd.REP_INFO, nbd.INFO_EXPORT_DATA.pack(nbd.INFO_EXPORT, info.size, flags))
        if nbd.INFO_BLOCK_SIZE in wanted:
            out += self._block_sizes(info)
        if nbd.INFO_NAME in wanted:
            out += self._reply(nbd.REP_INFO, nbd.INFO_TYPE.pack(nbd.INFO_NAME) + info.name.encode())
        if nbd.INFO_DESCRIPTION in wanted and info.description:
            data = nbd.INFO_TYPE.pack(nbd.INFO_DESCRIPTION) + info.description.encode()
            out += self._reply(nbd.REP_INFO, data)
        return out + self._reply(nbd.REP_ACK)

    def _block_sizes(self, info: ExportInfo) -> bytes:
        sizes = nbd.advertised_block_sizes(info)
        return self._reply(nbd.REP_INFO, nbd.INFO_BLOCK_SIZE_DATA.pack(nbd.INFO_BLOCK_SIZE, *sizes))

    # -- Words

    def _reply(self, kind: int, data: bytes = b"") -> bytes:
        return nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, self._option, kind, len(data)) + data

    def _find(self, name: str) -> ExportInfo | None:
        info = self._exports.find(self._resolved(name))
        return info if info is None or self._read_only is None else replace(info, read_only=self._read_only)

    def _resolved(self, name: str) -> str:
        """The empty name is the default export: the only one, where there is only one."""
        names = self._exports.names() if name == "" else ()
        return names[0] if len(names) == 1 else name

    def _unknown(self, name: str) -> str:
        if name == "" and self._exports.names():
            return "This server has several exports: name one of them."
        return f"This server has no export named '{nbd.printable(name)}'."


_HANDLERS: Final[dict[int, Callable[[ServerHandshake, bytes], bytes]]] = {
    nbd.OPT_EXPORT_NAME: ServerHandshake._export_name,
    nbd.OPT_ABORT: ServerHandshake._abort,
    nbd.OPT_LIST: ServerHandshake._list,
    nbd.OPT_INFO: ServerHandshake._info,
    nbd.OPT_GO: ServerHandshake._info,
}


def _decode_name(data: bytes) -> str | None:
    """An export name, or None if it is not a string as "Conventions" defines one."""
    if len(data) > limits.NAME_BYTES_MAX or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _shown(name: bytes) -> str:
    return repr(nbd.printable(name[: limits.NAME_BYTES_MAX].decode(errors="replace")))


def _parse_info_request(data: bytes) -> tuple[bytes, frozenset[int]] | None:
    """Name and information requests of INFO and GO, or None if the lengths do not add up."""
    if len(data) < nbd.STRING_LENGTH.size + nbd.INFO_TYPE.size:
        return None
    (name_length,) = nbd.STRING_LENGTH.unpack_from(data)
    at = nbd.STRING_LENGTH.size + name_length
    if at + nbd.INFO_TYPE.size > len(data):
        return None
    (count,) = nbd.INFO_TYPE.unpack_from(data, at)
    rest = data[at + nbd.INFO_TYPE.size :]
    if len(rest) != count * nbd.INFO_TYPE.size:
        return None
    wanted = frozenset(kind for (kind,) in nbd.INFO_TYPE.iter_unpack(rest))
    return data[nbd.STRING_LENGTH.size : at], wanted
