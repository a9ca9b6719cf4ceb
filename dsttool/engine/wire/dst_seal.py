"""Records that are sealed or checksummed: what follows a body, and what it is made with. Pure.

    plain         header, body
    checksummed   header, body, checksum of both: CRC-32C (4 bytes, big-endian), or the first 16 of BLAKE3
    sealed        header, body encrypted, tag (16 bytes); the header is the associated data

The header is that of dst_records; its length is that of the body alone, as it is before sealing. Headers
are not secret: an observer sees how long records are and of which type. They are not believed either,
before the record has opened: a forged length makes the receiver wait for bytes, at most for the maximum
of that type, and then the record does not open.

Nonces count the records of one direction in the order in which they are sent, beginning at 0; both
directions have keys of their own. A record that is repeated, left out or moved does not open. A nonce is
spent when it is claimed, whatever becomes of the record: a sender that cannot send a record it has
claimed a nonce for must end the connection.

Rekey (Noise, section 11.3): the key of a direction seals at most REKEY_RECORDS records and REKEY_BYTES
bytes of bodies. The record that would exceed either is the first under the next key; both ends count
alike. The nonce counts on.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from cryptography.exceptions import InvalidTag

from dsttool.engine.vocabulary.errors import ProtocolError, UsageError
from dsttool.engine.wire.dst_records import BATCH_BYTES_MAX, HEADER, Buffers, OutRecord, Record, header
from dsttool.engine.wire.noise_cipher import TAG_BYTES, Aead, Cipher

REKEY_RECORDS: Final = 1 << 24
REKEY_BYTES: Final = 64 << 30
_CHECKSUM_BYTES: Final = {"crc32c": 4, "blake3": 16}


class BadRecord(ProtocolError):
    """A record does not open, or its checksum is wrong: nothing of it may be used."""


class Seal:
    """The nonces and keys of one direction. Has one owner; records are claimed in the order they are sent.

    rekey_records, rekey_bytes: other bounds than the protocol's, for tests; both ends need the same.
    """

    __slots__ = ("_bytes", "_bytes_max", "_cipher", "_records", "_records_max", "rekeys")

    def __init__(
        self, cipher: Cipher, *, rekey_records: int = REKEY_RECORDS, rekey_bytes: int = REKEY_BYTES
    ) -> None:
        self._cipher = cipher
        self._records = self._bytes = 0
        self._records_max = rekey_records
        self._bytes_max = rekey_bytes
        self.rekeys = 0

    def claim(self, length: int) -> tuple[Aead, bytes]:
        """The key and the nonce for the next record, whose body has `length` bytes.

        Both go into exactly one `seal` or `open_record`, in any thread. Raises UsageError when all nonces
        of this direction are used up.
        """
        if self._records >= self._records_max or self._bytes + length > self._bytes_max:
            self._cipher.rekey()
            self.rekeys += 1
            self._records = self._bytes = 0
        self._records += 1
        self._bytes += length
        return self._cipher.claim()


def seal(claim: tuple[Aead, bytes], head: bytes, body: Buffers, length: int, out: memoryview) -> None:
    """Write a sealed record, header and tag included, over the first bytes of `out`.

    body: the buffers of `length` bytes together; several are put together first, one is sealed
    from where it is.
    """
    aead, nonce = claim
    start = HEADER.size
    out[:start] = head
    sealed = out[start : start + length + TAG_BYTES]
    if len(body) == 1:
        aead.encrypt_into(nonce, body[0], head, sealed)
        return
    if length <= BATCH_BYTES_MAX:
        # Many small ones: to join them costs less than to put each into its place.
        aead.encrypt_into(nonce, b"".join(body), head, sealed)
        return
    at = 0
    for buffer in body:
        end = at + len(buffer)
        sealed[at:end] = buffer
        at = end
    aead.encrypt_into(nonce, sealed[:length], head, sealed)


def open_record(claim: tuple[Aead, bytes], view: memoryview, start: int, end: int) -> bool:
    """Open the record whose body is view[start:end], in place, with its header before and its tag after.

    False if it does not open; then the body's bytes are rubbish.
    """
    aead, nonce = claim
    try:
        aead.decrypt_into(
            nonce, view[start : end + TAG_BYTES], view[start - HEADER.size : start], view[start:end]
        )
    except InvalidTag:
        return False
    return True


class Checksum:
    """Makes and checks the checksums of records. `name` is one of dst_security.CHECKSUMS.

    UsageError if its package is not installed.
    """

    def __init__(self, name: str) -> None:
        self.size = _CHECKSUM_BYTES[name]
        try:
            module = import_module(name)
        except ImportError as error:
            raise UsageError(f"The Python package {name} is not installed.", "Install it.") from error
        self._of: Callable[[Buffers], bytes] = _CRC32C(module) if name == "crc32c" else _Blake3(module)

    def frame(self, records: list[OutRecord]) -> tuple[Buffers, int]:
        """Records as the buffers that links carry, and their size together in bytes. Nothing is copied."""
        buffers: Buffers = []
        size = 0
        for kind, count, length, body in records:
            record = [header(kind, length, count), *body]
            buffers += record
            buffers.append(self._of(record))
            size += HEADER.size + length + self.size
        return buffers, size

    def cut_bad(self, view: memoryview, records: list[Record]) -> bool:
        """Remove the first record whose checksum is wrong, and those after it; whether there was one."""
        for index, (_, _, start, end) in enumerate(records):
            if self._of([view[start - HEADER.size : end]]) != view[end : end + self.size]:
                del records[index:]
                return True
        return False


class _CRC32C:
    def __init__(self, module: Any) -> None:
        self._update = module.crc32c

    def __call__(self, buffers: Buffers) -> bytes:
        value = 0
        for buffer in buffers:
            value = self._update(buffer, value)
        return int(value).to_bytes(4, "big")


class _Blake3:
    def __init__(self, module: Any) -> None:
        self._new = module.blake3

    def __call__(self, buffers: Buffers) -> bytes:
        state = self._new()
        for buffer in buffers:
            state.update(buffer)
        digest: bytes = state.digest(16)
        return digest
