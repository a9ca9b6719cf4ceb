"""The model: what each read may bring, given everything that was asked and answered before.

A block has versions, in the order in which its changes were submitted. Each was acked, failed, is still
under way, or was so when its process died. Rules (protocol.md, "Durability verifier" and the end of it):

* An acked change puts an end to all versions before it: no read that begins later may bring them.
* A change that is under way, or that failed, may be seen or not.
* After the process that asked has died, what it had under way may be there or not; the first read that
  shows a block settles it.
* What was acked and not flushed may be lost only if storage lost something since, and either the process
  that held it for rewriting has died, or a failed flush has said so. Such a loss must be reported by a
  flush that fails, where the topology promises that (`reports`).
* What a flush covered, or was written with FUA, is never lost.
* Where copies are kept (`leaves`), a trim that was acked may have been left undone. The first read after it
  settles which, and so it stays, whichever copy is read: unless that is lost, or another array, which cannot
  write it again, lies between (`alike`). FUA keeps nothing where a trim was left undone.
* A flush that failed leaves in doubt which of the versions before it is there. A later one that does not
  cover what was written since makes none of them certain.
"""

from collections.abc import Callable

from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary.operations import FLUSH, FUA, NAMES, READ, TRIM
from sim.block import BLOCK, Violation, content


class Version:
    """One change of one block. Times are the model's counter.

    ended: when it was acked; over: since when no new read may bring it; stable: flushed; reopened: a loss
    may have brought it back; in_doubt: a failed flush may have lost it; settled: a read, not an ack, said
    that it happened; denied: a read said that it has not. stamps: what may be there: its own, or what a trim
    that was left undone has left.
    """

    __slots__ = (
        "begun",
        "denied",
        "ended",
        "exposed",
        "in_doubt",
        "life",
        "open",
        "over",
        "reopened",
        "settled",
        "stable",
        "stamp",
        "stamps",
    )

    def __init__(self, stamp: int, begun: int, life: int) -> None:
        self.stamp = stamp
        self.stamps = frozenset((stamp,))
        self.life = life
        self.begun = begun
        self.ended: int | None = None
        self.over: int | None = None
        self.open = True
        self.stable = self.exposed = self.reopened = self.settled = self.denied = self.in_doubt = False

    def __repr__(self) -> str:
        words = ["#" + "/".join(map(str, sorted(self.stamps))), f"begun {self.begun}"]
        if self.ended is not None:
            words.append(f"acked {self.ended}")
        if self.over is not None:
            words.append(f"over {self.over}")
        words += [w for w in ("open", "stable", "exposed", "reopened", "settled") if getattr(self, w)]
        return f"<{' '.join(words)}>"


class Op:
    """One request as the model follows it; a request's cookie."""

    __slots__ = ("begun", "ends", "life", "request", "stamp", "versions")

    def __init__(self, stamp: int, request: Request) -> None:
        self.stamp = stamp
        self.request = request
        self.begun = 0
        self.life = 0
        self.ends = 0
        self.versions: list[tuple[int, Version]] = []

    def __repr__(self) -> str:
        request = self.request
        first, count = request.offset // BLOCK, request.length // BLOCK
        flags = " FUA" if request.flags & FUA else ""
        return f"{NAMES[request.op]}{flags} #{self.stamp} blocks {first}+{count}"


class Model:
    """`last_loss()`: when storage last lost something acked that no flush covered, by the model's counter.

    reports: whether a loss that a dead process could not repair must make a flush fail. settles: whether
    nothing of a dead process can still be under way once its successor reads. retains: whether the process
    that asked can write again what storage has lost.
    """

    def __init__(
        self,
        blocks: int,
        last_loss: Callable[[], int],
        *,
        reports: bool,
        settles: bool,
        retains: bool,
        leaves: bool = False,
        alike: bool = False,
    ) -> None:
        self._blocks = [[_first()] for _ in range(blocks)]
        self._last_loss = last_loss
        self.reports = reports
        self._settles = settles
        self._retains = retains
        self._leaves = leaves
        self._alike = alike
        # Blocks with versions that are acked and not stable.
        self._dirty: set[int] = set()
        self._reads: dict[Op, None] = {}
        self._open: dict[Op, None] = {}
        # Blocks that a loss may have thrown back, and whether that has been said.
        self._doubtful: dict[int, bool] = {}
        self._unreported = ""
        self.clock = 0
        self.life = 0
        self.checked = 0

    # -- what happens ----------------------------------------------------------------------------

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def begin(self, op: Op) -> None:
        """The request is being submitted."""
        request = op.request
        op.begun = self.tick()
        op.life = self.life
        self._open[op] = None
        if request.op == READ:
            self._reads[op] = None
        elif request.op != FLUSH:
            for block in _blocks_of(request):
                version = Version(op.stamp, op.begun, self.life)
                self._blocks[block].append(version)
                op.versions.append((block, version))

    def end(self, op: Op) -> None:
        """The request has come back."""
        request = op.request
        op.ends += 1
        if op.ends > 1:
            raise Violation(f"answered twice: {op}")
        self._open.pop(op, None)
        now = self.tick()
        if request.op == READ:
            self._reads.pop(op, None)
            if not request.error and op.life == self.life:
                self._check_read(op, now)
        elif request.op == FLUSH:
            if op.life == self.life:
                self._flushed(op, now)
        else:
            self._changed(op, now)

    def die(self) -> None:
        """The process that asked is gone, with all that it held."""
        self.life += 1
        self._reads.clear()
        for op in self._open:
            for _, version in op.versions:
                version.open = False
        self._open.clear()
        for block in self._dirty:
            for version in self._blocks[block]:
                if version.ended is not None and not version.stable:
                    version.exposed = True
        self.lost()

    def excuse(self) -> None:
        """From now on nobody can know what was lost before."""
        self.reports = False
        self._unreported = ""
        self._doubtful = dict.fromkeys(self._doubtful, True)

    def lost(self) -> None:
        """Storage may have lost something: what nobody can write again may be gone."""
        loss = self._last_loss()
        for block in self._dirty:
            for version in self._blocks[block]:
                if version.exposed and version.begun < loss:
                    self._reopen(block)
                    break

    @property
    def waiting(self) -> list[Op]:
        """What has no answer."""
        return list(self._open)

    # -- changes and flushes ---------------------------------------------------------------------------

    def _changed(self, op: Op, now: int) -> None:
        request = op.request
        for block, version in op.versions:
            version.open = False
            if request.error:
                continue
            versions = self._blocks[block]
            may_be_undone = request.op == TRIM and self._leaves
            if version.denied and may_be_undone:
                continue
            if version.denied or (version.over is not None and op.life == self.life):
                raise Violation(
                    f"acked, but it never happened, or another came after it: {op}, block {block}"
                )
            if op.life != self.life and (version.over is not None or version not in versions):
                continue  # a late answer to one that has lost its place, and others have written since
            version.exposed = op.life != self.life or not self._retains
            version.ended = now
            if may_be_undone and not version.settled:
                self._add_what_was_there(version, versions)
            in_doubt = self._doubtful.pop(block, False)
            for earlier in versions[: versions.index(version)]:
                if earlier.over is None:
                    earlier.over = now
                earlier.reopened = False
                earlier.in_doubt |= in_doubt
            self._dirty.add(block)
            if request.flags & FUA and not may_be_undone:
                self._make_stable(block, version)
            elif version.exposed and version.begun < self._last_loss():
                self._reopen(block)  # it happened before the loss, and its answer came after it

    def _add_what_was_there(self, trim: Version, versions: list[Version]) -> None:
        """It may have been left undone."""
        for earlier in versions[: versions.index(trim)]:
            if earlier.over is None or not self._alike:
                trim.stamps |= earlier.stamps

    def _flushed(self, op: Op, now: int) -> None:
        request = op.request
        if request.error:
            # Whoever asked knows now that what was not covered may be gone, if anything is.
            self._unreported = ""
            loss = self._last_loss()
            for block in self._dirty:
                if any(v.ended is not None and not v.stable and v.begun < loss for v in self._blocks[block]):
                    self._reopen(block)
            self._doubtful = dict.fromkeys(self._doubtful, True)
            return
        if self._unreported:
            raise Violation(
                f"a flush succeeded, and nobody has said that a write was lost: {self._unreported}"
            )
        for block in list(self._dirty):
            if self._doubtful.get(block):
                continue  # it was said that this may be lost: what is there now only a read can tell
            covered = [v for v in self._blocks[block] if v.ended is not None and v.ended < op.begun]
            if covered and not (covered[-1].stable or covered[-1].in_doubt):
                self._doubtful.pop(block, None)
                self._make_stable(block, covered[-1])

    def _make_stable(self, block: int, version: Version) -> None:
        """No loss goes behind this version any more."""
        version.stable = True
        version.exposed = version.reopened = False
        versions = self._blocks[block]
        oldest = min((read.begun for read in self._reads), default=self.clock)
        index = versions.index(version)
        for earlier in versions[:index]:
            earlier.exposed = earlier.reopened = False
            if earlier.over is None:
                earlier.over = self.clock
        kept = [v for v in versions[:index] if v.over is not None and v.over > oldest]
        versions[:index] = kept
        if not any(v.ended is not None and not v.stable for v in versions[len(kept) :]):
            self._dirty.discard(block)

    def _reopen(self, block: int) -> None:
        """Any version since the last stable one may be back."""
        versions = self._blocks[block]
        stable = max((i for i, v in enumerate(versions) if v.stable), default=0)
        newest = max((i for i, v in enumerate(versions) if v.ended is not None), default=0)
        if versions[newest].begun > self._last_loss():
            return  # nothing was lost since
        for version in versions[stable:newest]:
            if version.over is not None:
                version.over = None
                version.reopened = True
                self._doubtful.setdefault(block, not self.reports)

    # -- reads ---------------------------------------------------------------------------------------

    def _check_read(self, op: Op, now: int) -> None:
        request = op.request
        data = request.data
        got = b"".join(data) if type(data) is list else bytes(data)
        if len(got) != request.length:
            raise Violation(f"{len(got)} bytes came: {op}")
        for index, block in enumerate(_blocks_of(request)):
            piece = got[index * BLOCK : (index + 1) * BLOCK]
            stamp = int.from_bytes(piece[:8], "big")
            if piece != content(stamp, block):
                raise Violation(f"block {block} holds what nobody wrote there: {piece[:32].hex()}: {op}")
            self._check_block(op, block, stamp, now)
        self.checked += request.length // BLOCK

    def _check_block(self, op: Op, block: int, stamp: int, now: int) -> None:
        versions = self._blocks[block]
        if len(versions) == 1 and versions[0].stamps == {stamp}:
            return
        matching = [v for v in versions if stamp in v.stamps and (v.over is None or v.over > op.begun)]
        if not matching:
            raise Violation(f"block {block} holds #{stamp}; its versions are {versions}: {op}")
        seen = matching[-1]
        if self._alike and len(matching) == 1 and self._is_certain(block, seen, op):
            seen.stamps = frozenset((stamp,))
        if seen.reopened and self._doubtful.get(block) is False:
            later = versions[versions.index(seen) + 1 :]
            if any(v.ended is not None and not v.settled and v.ended < op.begun for v in later):
                self._unreported = f"block {block} holds #{stamp} of {versions}"
        if self._settles and not self._reads:
            self._maybe_settle(block, seen, now)

    def _is_certain(self, block: int, seen: Version, op: Op) -> bool:
        """Whether what this read has brought of that change is there for good."""
        return (
            seen.ended is not None
            and seen.ended < op.begun
            and block not in self._doubtful
            and not any(version.reopened for version in self._blocks[block])
        )

    def _maybe_settle(self, block: int, seen: Version, now: int) -> None:
        """The first sight of what a dead process left, or a loss after its death, decides what is there."""
        versions = self._blocks[block]
        possible = [v for v in versions if v.over is None]
        ours = any(v.life == self.life and (v.ended is None or v.reopened) for v in possible)
        if len(possible) < 2 or ours or seen.over is not None:
            return
        if not seen.stable and seen.begun < self._last_loss():
            return  # a cache may still show what a failed flush has lost
        index = versions.index(seen)
        for earlier in versions[:index]:
            earlier.over = earlier.over or now
            earlier.reopened = False
        if seen.ended is None:
            seen.ended = now
            seen.settled = True
        if not seen.stable:
            seen.begun = now
            seen.exposed = True
            self._dirty.add(block)
        else:
            self._dirty.discard(block)
        seen.reopened = False
        for later in versions[index + 1 :]:
            later.denied = True
        del versions[index + 1 :]
        self._doubtful.pop(block, None)


def _first() -> Version:
    version = Version(0, 0, 0)
    version.open = False
    version.ended = 0
    version.stable = True
    return version


def _blocks_of(request: Request) -> range:
    return range(request.offset // BLOCK, (request.offset + request.length) // BLOCK)
