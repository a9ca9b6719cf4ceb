"""Sealed records on a link: small ones are sealed and opened at once, large ones in the crypto pool.

A thread's hand-off costs more than the cipher for small records; large ones scale over threads, because the
cipher lets go of Python's lock. limits.CRYPTO_CROSSOVER divides them; with no threads in the pool nothing is
handed off. What the threads finish in another order goes on in the order of the records all the same:
each record's nonce and key are claimed in that order, and what is finished early waits.

Out: bodies are put together in pooled memory and sealed there; a body that is one buffer is sealed from
where it is into pooled memory. What is being sealed counts as the link's unsent bytes.

In: records are opened where they were received, over themselves (see wire.dst_seal). Received and not yet
taken is at most limits.OPENING_BYTES_MAX and one record: beyond it the link is paused.

A record that a thread works on keeps its memory, whatever becomes of the link meanwhile.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import Link
from dsttool.engine.transport.parting import Parting
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.wire.dst_records import HEADER, Buffers, OutRecord, Record, header, split
from dsttool.engine.wire.dst_seal import BadRecord, Seal, open_record, seal
from dsttool.engine.wire.noise_cipher import TAG_BYTES, Aead

_OVERHEAD = HEADER.size + TAG_BYTES


class Taker(Protocol):
    """Who takes opened records."""

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        """See RecordReceiver."""


class _Sealing:
    """A record on its way out, in its place in the order."""

    __slots__ = ("done", "out")

    def __init__(self, out: memoryview, *, done: bool) -> None:
        self.out = out
        self.done = done


class SealedOut:
    """The sending direction of one link.

    fail: called if a record could not be sealed. done: called when threads have sealed all they were given.
    """

    def __init__(
        self,
        reactor: Reactor,
        link: Link,
        sealer: Seal,
        fail: Callable[[DsttoolError], None],
        done: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._link: Link | Parting = link
        self._seal = sealer
        self._fail = fail
        self._done = done
        self._queue: deque[_Sealing] = deque()
        # Where small records are put together: used from its start again once the kernel has all of it.
        self._segment = memoryview(b"")
        self._at = 0

    def send(self, records: list[OutRecord]) -> None:
        """Seal records and queue them for the end of this turn, or of the one that has them sealed."""
        link, queue = self._link, self._queue
        if not link.open:
            return
        threads = self._reactor.crypto_threads
        if not link.unsent:
            self._at = 0
        ready: Buffers = []
        size = 0
        for kind, count, length, body in records:
            claim = self._seal.claim(length)
            head = header(kind, length, count)
            if threads and length >= limits.CRYPTO_CROSSOVER:
                self._hand_off(claim, head, body, length)
                continue
            out = self._room(length + _OVERHEAD)
            seal(claim, head, body, length, out)
            if queue:
                link.unsent += len(out)
                queue.append(_Sealing(out, done=True))
            else:
                ready.append(out)
                size += len(out)
        if ready:
            link.send(ready, size)

    def part(self, parting: Parting) -> None:
        """Nothing more will be sent; what threads still seal goes there."""
        self._link = parting

    def close(self) -> None:
        """Nothing more will be sent."""
        self._queue.clear()
        self._segment = memoryview(b"")

    def _room(self, size: int) -> memoryview:
        """Pooled memory for one record."""
        if size > limits.SEGMENT_BYTES:
            return self._reactor.pool.take(size)[:size]
        if self._at + size > len(self._segment):
            self._segment = self._reactor.pool.take()
            self._at = 0
        begin = self._at
        self._at = end = begin + size
        return self._segment[begin:end]

    def _hand_off(self, claim: tuple[Aead, bytes], head: bytes, body: Buffers, length: int) -> None:
        size = length + _OVERHEAD
        out = self._reactor.pool.take(size)[:size]
        entry = _Sealing(out, done=False)
        self._queue.append(entry)
        self._link.unsent += size
        self._reactor.run_blocking(
            lambda: seal(claim, head, body, length, out),
            lambda _result, error: self._sealed(entry, error),
            "crypto",
        )

    def _sealed(self, entry: _Sealing, error: BaseException | None) -> None:
        queue, link = self._queue, self._link
        if not queue or not link.open:
            return  # closed meanwhile
        if error is not None:
            # Its nonce is spent, and the peer counts: nothing that comes after it would open.
            self._fail(DsttoolError(f"A record could not be sealed: {error}."))
            return
        entry.done = True
        ready: Buffers = []
        size = 0
        while queue and queue[0].done:
            out = queue.popleft().out
            ready.append(out)
            size += len(out)
        if ready:
            link.unsent -= size
            link.send(ready, size)
            if not queue:
                self._done()


class _Arrived:
    """A whole record on its way in, in its place in the order. opened: None while a thread opens it."""

    __slots__ = ("opened", "record", "view")

    def __init__(self, view: memoryview, record: Record, opened: bool | None) -> None:
        self.view = view
        self.record = record
        self.opened = opened


class SealedIn:
    """The receiving direction of one link. `fail` is told of a record that does not open, in its place."""

    def __init__(
        self,
        reactor: Reactor,
        link: Link,
        opener: Seal,
        taker: Taker,
        fail: Callable[[DsttoolError], None],
    ) -> None:
        self._reactor = reactor
        self._link = link
        self._seal = opener
        self._taker = taker
        self._fail = fail
        self._queue: deque[_Arrived] = deque()
        self._bytes = 0
        self._paused = self._scheduled = self._closed = False
        self._last: Callable[[], None] | None = None

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver of a link. Raises ProtocolError."""
        records, after, need = split(view, head, tail, TAG_BYTES)
        if not records:
            return after, need, False
        if self._queue or (self._reactor.crypto_threads and any(map(_is_large, records))):
            self._open_all(view, records)
            return after, need, True
        claim = self._seal.claim
        for index, (_, _, start, end) in enumerate(records):
            if not open_record(claim(end - start), view, start, end):
                self._queue.append(_Arrived(view, records[index], opened=False))
                del records[index:]
                break
        if not records:
            raise _bad_record()
        taken, kept = self._taker.take(view, records)
        if taken < len(records) and self._link.open:
            self._queue.extendleft(
                _Arrived(view, record, opened=True) for record in reversed(records[taken:])
            )
            self._bytes = sum(map(_size, self._queue))
            kept = True
        elif self._queue:
            raise _bad_record()
        return after, need, kept

    def pause(self) -> None:
        """Let nothing be taken until `resume`."""
        self._paused = True
        self._link.pause()

    def resume(self) -> None:
        """Have what waits taken when this turn ends, then receive again."""
        self._paused = False
        if not self._queue:
            self._link.resume()
        elif not self._scheduled:
            self._scheduled = True
            self._reactor.flush_later(self)

    def end(self, last: Callable[[], None]) -> None:
        """Nothing more will come. Have what has come taken, unless that is paused; then call `last`."""
        self._last = last
        self._deliver()

    def close(self) -> None:
        """Nothing more will be taken."""
        self._closed = True
        self._queue.clear()
        self._last = None

    def flush(self) -> None:
        """The turn ends: let what waits be taken."""
        self._scheduled = False
        self._deliver()

    def _open_all(self, view: memoryview, records: list[Record]) -> None:
        """Open these in their order, large ones in threads; none overtakes another."""
        threads = self._reactor.crypto_threads
        for record in records:
            _, _, start, end = record
            claim = self._seal.claim(end - start)
            arrived = _Arrived(view, record, opened=None)
            self._queue.append(arrived)
            self._bytes += _size(arrived)
            if threads and _is_large(record):
                self._hand_off(claim, arrived)
            else:
                arrived.opened = open_record(claim, view, start, end)
        self._deliver()
        if self._bytes > limits.OPENING_BYTES_MAX and self._link.open:
            self._link.pause()

    def _hand_off(self, claim: tuple[Aead, bytes], arrived: _Arrived) -> None:
        view = arrived.view
        _, _, start, end = arrived.record

        def done(opened: bool | None, error: BaseException | None) -> None:
            arrived.opened = error is None and bool(opened)
            self._deliver()

        self._reactor.run_blocking(lambda: open_record(claim, view, start, end), done, "crypto")

    def _deliver(self) -> None:
        """Let everything be taken that has been opened, up to the first that has not."""
        queue = self._queue
        try:
            while queue and queue[0].opened is not None and not self._paused:
                self._deliver_some()
        except DsttoolError as error:
            queue.clear()
            self._fail(error)
        if self._last is not None and (not queue or self._paused):
            last = self._last
            self.close()
            last()
        elif self._bytes <= limits.OPENING_BYTES_MAX and not self._paused and self._link.open:
            self._link.resume()

    def _deliver_some(self) -> None:
        """All that has been opened and lies in the same segment, as one list. Raises ProtocolError."""
        queue = self._queue
        view = queue[0].view
        some = []
        while queue and queue[0].opened and queue[0].view is view:
            some.append(queue.popleft())
        if not some:
            raise _bad_record()
        taken, _ = self._taker.take(view, [arrived.record for arrived in some])
        self._bytes -= sum(map(_size, some[:taken]))
        if not self._closed:
            queue.extendleft(reversed(some[taken:]))


def _is_large(record: Record) -> bool:
    return record[3] - record[2] >= limits.CRYPTO_CROSSOVER


def _size(arrived: _Arrived) -> int:
    return arrived.record[3] - arrived.record[2] + _OVERHEAD


def _bad_record() -> BadRecord:
    return BadRecord(
        "A sealed record does not open: it was changed, repeated or left out on the way.",
        "If this happens again, something between the two machines is broken, or hostile.",
    )
