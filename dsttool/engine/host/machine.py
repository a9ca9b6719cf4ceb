"""The machine a daemon runs on, by psutil: what of its processor, memory, network and disks is used.

Loading psutil and asking the kernel take milliseconds: nothing of this belongs on the reactor. Whoever
watches has it sampled, in the control thread; while nobody does, psutil is not even loaded.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.stream import HostStatus

# However many ask: a sample of shorter time says less and costs the same.
SAMPLE_NS: Final = SECOND
# Only between processes of this machine.
_LOOPBACK: Final = "lo"


@dataclass(frozen=True, slots=True)
class _Counters:
    """What only grows. busy, total: seconds of all processors; the others bytes, None where unknown."""

    at_ns: int
    busy: float
    total: float
    received: int | None
    sent: int | None
    read: int | None
    written: int | None


class Machine:
    """Samples one after the other; of one thread. Rates are those since the sample before."""

    def __init__(self) -> None:
        self._before: _Counters | None = None
        self._status: HostStatus | None = None
        self._psutil: Any = None

    def sample(self, now_ns: int) -> HostStatus:
        """The state of the machine now, or the last one if that is less than a second old.

        now_ns: monotonic. Rates are None in the first sample, and after a pause they are the mean of it.
        What the system does not tell is None; nothing is raised.
        """
        before = self._before
        if before is not None and self._status is not None and now_ns - before.at_ns < SAMPLE_NS:
            return self._status
        if self._psutil is None:
            import psutil  # takes 20 ms, which only those who watch are to pay

            self._psutil = psutil
        now = _count(self._psutil, now_ns)
        memory = _asked(self._psutil.virtual_memory)
        self._status = {
            "name": socket.gethostname(),
            "cpus": os.cpu_count() or 1,
            "cpu_fraction": _fraction(before, now),
            "memory_bytes": None if memory is None else memory.total,
            "memory_used_bytes": None if memory is None else memory.total - memory.available,
            "received_bytes": _rate(before, now, "received"),
            "sent_bytes": _rate(before, now, "sent"),
            "disk_read_bytes": _rate(before, now, "read"),
            "disk_written_bytes": _rate(before, now, "written"),
        }
        self._before = now
        return self._status


def _count(psutil: Any, now_ns: int) -> _Counters:
    cpu = _asked(psutil.cpu_times)
    total = 0.0 if cpu is None else _all(cpu)
    idle = 0.0 if cpu is None else cpu.idle + getattr(cpu, "iowait", 0.0)
    network = _asked(psutil.net_io_counters, pernic=True) or {}
    cards = [counted for name, counted in network.items() if name != _LOOPBACK]
    disks = _asked(psutil.disk_io_counters)
    return _Counters(
        at_ns=now_ns,
        busy=total - idle,
        total=total,
        received=_sum(cards, "bytes_recv"),
        sent=_sum(cards, "bytes_sent"),
        read=None if disks is None else disks.read_bytes,
        written=None if disks is None else disks.write_bytes,
    )


def _all(cpu: Any) -> float:
    """All time of the processors: that of guests is within `user` and `nice` (proc(5))."""
    return float(sum(cpu)) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)


def _asked(question: Any, **arguments: Any) -> Any:
    """What the system answers; None if it does not: containers hide much of /proc."""
    try:
        return question(**arguments)
    except (OSError, RuntimeError, ValueError, KeyError, IndexError, NotImplementedError):
        return None


def _sum(counted: Sequence[Any], field: str) -> int | None:
    return sum(getattr(each, field) for each in counted) if counted else None


def _fraction(before: _Counters | None, now: _Counters) -> float | None:
    if before is None or now.total <= before.total:
        return None
    return min(1.0, max(0.0, (now.busy - before.busy) / (now.total - before.total)))


def _rate(before: _Counters | None, now: _Counters, field: str) -> int | None:
    """Bytes a second. A counter that shrank began anew: a card or a disk has gone."""
    first, last = None if before is None else getattr(before, field), getattr(now, field)
    if before is None or first is None or last is None or now.at_ns <= before.at_ns or last < first:
        return None
    return int((last - first) * SECOND // (now.at_ns - before.at_ns))
