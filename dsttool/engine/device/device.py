"""Device: everything that can be read and written, and what it can do."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import TransactionStatus


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device is and can do. Sizes in bytes.

    block_min: offsets and lengths must be multiples of it; block_preferred: best performance.
    payload_max: the longest READ or WRITE. multi_conn: a flush on any connection covers writes
    acked on all of them.
    """

    size: int
    block_min: int = 1
    block_preferred: int = 4096
    payload_max: int = limits.REQUEST_MAX
    read_only: bool = False
    flush: bool = True
    fua: bool = True
    trim: bool = True
    write_zeroes: bool = True
    fast_zero: bool = False
    rotational: bool = False
    multi_conn: bool = True


class Device(ABC):
    """A block device: a file, memory, a remote node, an array.

    Contract, which every layer may rely on and must keep:
    * `submit` never blocks and never raises for failures of I/O; each request comes back to its
      sink exactly once, on the reactor's thread, possibly before `submit` returns.
    * The submitter has checked range, alignment, permission and length of each request.
    * Overlapping writes, trims and zeroes take effect in the order of their submission.
    * A flush covers every write acked before it was submitted, if both were answered under the same
      verifier; it brings that verifier (16 bytes) in its data.
    """

    capabilities: Capabilities
    name: str
    # 16 bytes that stay the same as long as this is the same storage, over restarts too. A client
    # that finds another identity under the same name refuses to go on.
    identity: bytes
    # Whether requests are answered at once: a remote node's link may be down, others always are.
    up: bool = True
    # The link's round trip, None where there is no link or it is not known.
    rtt_ns: int | None = None
    # How long a request may wait for the link; 0 where there is none.
    budget_ns: int = 0
    # Why it serves no request any more and never will again, if so.
    failure: DsttoolError | None = None
    # Whether it holds requests whose time is over until an administrator acts.
    frozen: bool = False
    # Called when `frozen` is another, unless `on_up` is called for the same reason.
    on_frozen: Callable[[], None] | None = None
    # Called each time the link has come up.
    on_up: Callable[[], None] | None = None
    # Called once, when `failure` has been set.
    on_failure: Callable[[], None] | None = None
    # 16 bytes that change whenever acked writes that were not flushed may have been lost. Whoever is told
    # of a write's end reads here under what it was acked.
    verifier: bytes = bytes(16)
    # Called when the verifier has changed: after the last answer under the old one, before the first under
    # the new one, and before `on_up`.
    on_verifier: Callable[[], None] | None = None

    @property
    def lasting_verifier(self) -> bytes:
        """What to keep durably, and to compare with when another process uses this device again: it has
        changed then if acked writes that were not flushed may be gone."""
        return self.verifier

    @abstractmethod
    def submit(self, batch: list[Request]) -> None:
        """Start every request of the batch."""

    def abandon(self) -> None:  # noqa: B027 - what has no link has nothing to abandon
        """Fail now whatever waits for a link: nobody relies on this device any more."""

    def distrust(self) -> None:  # noqa: B027 - only what hands out mappings has something to do
        """A view this device handed out could not be read (EFAULT): hand out copies from now on."""

    def status(self) -> dict[str, Any]:
        """What a member's status shows of its node: in_flight, resends, losses, link."""
        return {}

    def transactions(self, node: str | None = None) -> Iterator[TransactionStatus]:
        """What is under way to other machines, or waits for it; oldest first. node: to that one only.

        Which ones is decided now; each is described when it is taken, so whoever wants a few takes a few. One
        may go on in later turns: what has ended by then is still in it.
        """
        return iter(())

    def transaction_states(self, node: str | None = None) -> Counter[str]:
        """How many of them are in each state; states without any are left out."""
        return Counter()

    @abstractmethod
    def close(self, done: Callable[[], None]) -> None:
        """Finish what is running, release the device, then call `done` on the reactor."""
