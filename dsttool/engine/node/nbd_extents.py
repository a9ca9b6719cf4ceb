"""Extents: which writes may run, and which keep their place though nobody waits for them any more.

Overlapping writes, trims and zeroes run one after the other (OverlapGate). Beyond that, a request may
have been sent without an answer on a connection that is gone, or its budget may have ended before its
answer came: it may still take effect at the server. Until that is over its extent stays taken, whether
the request itself has been answered otherwise or not. Each such send is counted.
"""

from dsttool.engine.device.request import Request
from dsttool.engine.extents.overlap import OverlapGate


class Extents:
    """The extents of one node's changes. waiting: those that the gate has not admitted yet."""

    def __init__(self) -> None:
        self._gate: OverlapGate[Request] = OverlapGate()
        self._sends: dict[Request, int] = {}
        self._over: set[Request] = set()
        self.waiting: set[Request] = set()

    def admit(self, request: Request) -> bool:
        """Whether the request may run now; if not, a later call returns it."""
        if self._gate.admit(request):
            return True
        self.waiting.add(request)
        return False

    def end(self, request: Request) -> list[Request]:
        """Its asker has its answer. Returns those that may run now."""
        if self._sends and request in self._sends:
            self._over.add(request)
            return []
        admitted = self._gate.release(request)
        if admitted:
            self.waiting.difference_update(admitted)
        return admitted

    def doubt(self, request: Request) -> None:
        """One send of a running request has no answer, and may take effect at any time."""
        self._sends[request] = self._sends.get(request, 0) + 1

    def settle(self, request: Request) -> list[Request]:
        """One such send has ended, if it was one. Returns those that may run now."""
        left = self._sends.get(request, 0) - 1
        if left < 0:
            return []
        if left:
            self._sends[request] = left
            return []
        del self._sends[request]
        if request in self._over:
            self._over.remove(request)
            return self.end(request)
        return []

    def withdraw(self, request: Request) -> None:
        """A request that still waits has been given up. Of several, the last that came goes first."""
        self.waiting.remove(request)
        self._gate.withdraw(request)

    def exhausted(self) -> list[Request]:
        """Those that failed for want of an answer, and whose extent is still taken."""
        return [request for request in self._over if request.error]
