"""The sampler: takes what watchers are shown, on the reactor, in pieces that are too short to be noticed.

    every second, always        the counters of everything with a label: a Second
    while somebody watches      status and transactions: a Look, four times a second at most

A look goes on over several turns of the reactor, a bounded piece in each. It takes what it takes: a daemon
with thousands of transactions is looked at less often, so that looking costs about 1 % of its time at most.
What was taken goes to the control thread, which computes and encodes.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, Protocol

from dsttool.engine.device.figures import Figures
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.status import DaemonStatus, TransactionStatus

# Transactions described in one turn of the reactor: about 0.2 ms of it.
ROWS_PER_TURN: Final = 96
# Labels whose counters are copied in one turn: about as long.
LABELS_PER_TURN: Final = 96
# Things that have a label, arrays and exports before members; more than a screen is ever scrolled through.
LABELS_MAX: Final = 256
# Shown to a watcher, and the most that filters are tried on: the oldest.
ROWS_SHOWN: Final = 200
ROWS_MAX: Final = 4096
LOOK_NS: Final = 250 * MS
# What describing a transaction takes (2.5 us), a hundred times.
_REST_PER_ROW_NS: Final = 250_000
# A second is sampled so long after it has ended, that no clock is before its end.
_LATE_NS: Final = 1 * MS

LOG = logging.getLogger(__name__)


class Counted(NamedTuple):
    """The counters of one label at one moment; latencies: see Latencies.counts."""

    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    errors: int
    in_flight: int
    latencies: list[int]


@dataclass(slots=True)
class Second:
    """Counters by label. end_ns: Unix time of the sample; span_ns: since the one before, 0 for the first."""

    end_ns: int
    span_ns: int
    counted: dict[str, Counted]


@dataclass(slots=True)
class Look:
    """The status of a daemon. rows: its oldest transactions, all of them (or ROWS_MAX) if `whole`, else those
    that are shown without a filter. Nothing of it is changed any more.
    """

    daemon: DaemonStatus
    whole: bool
    listed: bool
    arrays: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    rows: list[TransactionStatus] = field(default_factory=list)


class Want(NamedTuple):
    """What those who watch need. listed: transactions; whole: all of them, to try filters on."""

    listed: bool
    whole: bool


class Source(Protocol):
    """What there is to be sampled, on the reactor. Each step of an iterator is a bounded piece of work."""

    def figures(self) -> Iterator[tuple[str, Figures, int]]:
        """Label, counters, and requests in flight; arrays and exports first."""

    def statuses(self) -> Iterator[tuple[Literal["arrays", "exports"], str, Any] | None]:
        """Every array and export with its name and status; None after a piece that ends none of them."""

    def daemon(self) -> DaemonStatus:
        """The daemon itself."""

    def transactions(self) -> Iterator[TransactionStatus]:
        """See Device, of all devices."""

    def transaction_states(self) -> Counter[str]:
        """See Device, of all devices."""


class Sampler:
    """Samples `source` from `begin` to `end` and gives each sample to `deliver`, all on the reactor.

    unix_ns: the clock that people read. A sample that fails is logged and left out: whatever goes wrong here
    must not end a daemon that serves.
    """

    def __init__(
        self,
        reactor: Reactor,
        source: Source,
        deliver: Callable[[Second | Look], None],
        unix_ns: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._deliver = deliver
        self._unix_ns = unix_ns
        self._want: Want | None = None
        self._ended = False
        self._sampled = 0
        self._second: Timer | None = None
        self._next_look: Timer | None = None
        self._looking = False
        self._looked = -LOOK_NS

    def begin(self) -> None:
        """Take a first sample now, and one at the end of each second of Unix time."""
        self._tick()

    def end(self) -> None:
        """Take none any more."""
        self._ended = True
        for timer in (self._second, self._next_look):
            if timer is not None:
                timer.cancel()

    def want(self, want: Want | None) -> None:
        """What is needed from now on; None for no looks. What was not wanted before is looked for at once."""
        before, self._want = self._want, want
        if want is not None and want != before and not self._ended:
            self._look_at(self._reactor.now)

    # -- seconds -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        unix = self._unix_ns()
        self._step(self._count(unix - unix % SECOND))
        self._second = self._reactor.call_later(SECOND - unix % SECOND + _LATE_NS, self._tick)
        if self._want is not None:
            self._look_at(self._reactor.now)  # what it has sampled is shown with the next look

    def _count(self, end_ns: int) -> Iterator[None]:
        now = self._reactor.now
        counted: dict[str, Counted] = {}
        for label, figures, in_flight in islice(self._source.figures(), LABELS_MAX):
            counted[label] = Counted(
                figures.reads,
                figures.writes,
                figures.read_bytes,
                figures.written_bytes,
                figures.errors,
                in_flight,
                figures.latencies.counts[:],
            )
            if len(counted) % LABELS_PER_TURN == 0:
                yield
        self._deliver(Second(end_ns, now - self._sampled if self._sampled else 0, counted))
        self._sampled = now

    # -- looks -------------------------------------------------------------------------------------------

    def _look_at(self, when: int) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = self._reactor.call_at(max(when, self._looked + LOOK_NS // 5), self._begin_look)

    def _begin_look(self) -> None:
        if self._want is None:
            return
        self._looked = self._reactor.now
        self._look_at(self._looked + LOOK_NS)
        if not self._looking:
            self._looking = True
            self._step(self._look(self._want))

    def _look(self, want: Want) -> Iterator[None]:
        try:
            yield from self._pieces(want)
        finally:
            self._looking = False

    def _pieces(self, want: Want) -> Iterator[None]:
        source = self._source
        look = Look(source.daemon(), want.whole, want.listed)
        for part in source.statuses():
            if part is not None:
                kind, name, status = part
                getattr(look, kind)[name] = status
            yield
        if want.listed:
            look.states = source.transaction_states()
            yield
            left = ROWS_MAX if want.whole else ROWS_SHOWN
            listed = islice(source.transactions(), left)
            while rows := list(islice(listed, ROWS_PER_TURN)):
                look.rows += rows
                yield
            rest = (len(look.rows) + look.states.total() // 8) * _REST_PER_ROW_NS
            if rest > LOOK_NS:
                self._look_at(self._looked + min(rest, SECOND))
        self._deliver(look)

    # -- pieces ------------------------------------------------------------------------------------------

    def _step(self, work: Iterator[None]) -> None:
        """One piece now, the next in the next turn."""
        try:
            next(work)
        except StopIteration:
            return
        except Exception:
            LOG.exception("a sample failed")
        else:
            if not self._ended:
                self._reactor.post(lambda: self._step(work))
