"""Members that were missing when their array came up: tried again and again until they are there.

One that comes is handed to the array, which resyncs all of it: nobody knows what it missed. Other storage
that is found in its place is not: it would be overwritten.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.device.device import Device
from dsttool.engine.host.open_node import Opening, open_later
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND

LOG = logging.getLogger(__name__)

# A missing disk or machine comes back by somebody's hand; a few seconds do not matter then.
AGAIN_NS: Final = 5 * SECOND


class Returning:
    """Tries the members of an array that have no node. openings, policies: of all its members, in slot order.
    is_known(slot, node): whether it is what is missing.

    A policy may change meanwhile. Nothing is taken over from a writer who has come meanwhile.
    """

    def __init__(
        self,
        reactor: Reactor,
        array: Array,
        openings: Sequence[Opening],
        policies: Sequence[MemberPolicy],
        is_known: Callable[[int, Device], bool],
    ) -> None:
        self._reactor = reactor
        self._array = array
        self._openings = openings
        self._policies = policies
        self._is_known = is_known
        self._reasons: dict[int, str] = {}
        self._timers: dict[int, Timer] = {}
        self._ended = False
        for member in array.members:
            if member.node is None:
                self._wait(member)

    def end(self) -> None:
        """Try no more. What is just being opened is closed again."""
        self._ended = True
        for timer in self._timers.values():
            timer.cancel()

    def _wait(self, member: Member) -> None:
        self._timers[member.slot] = self._reactor.call_later(AGAIN_NS, lambda: self._try(member))

    def _try(self, member: Member) -> None:
        policy = self._policies[member.slot].policy
        opening = replace(self._openings[member.slot], policy=policy, takeover=False)
        open_later(self._reactor, opening, lambda result: self._tried(member, result))

    def _tried(self, member: Member, result: Device | DsttoolError) -> None:
        if isinstance(result, DsttoolError):
            self._failed(member, result)
        elif self._ended:
            result.close(_closed)
        elif not self._is_known(member.slot, result):
            result.close(_closed)
            name = self._array.name
            what = f"what is at {member.address} is other storage than when {name} last ran"
            self._failed(
                member, DsttoolError(f"{what}.", f"Restart {name} with --resync-from to overwrite it.")
            )
        else:
            try:
                self._array.adopt(member.slot, result)
            except DsttoolError as error:
                result.close(_closed)
                self._failed(member, error)

    def _failed(self, member: Member, error: DsttoolError) -> None:
        if self._ended:
            return
        if self._reasons.get(member.slot) != str(error):  # once per reason, not once per attempt
            self._reasons[member.slot] = str(error)
            names = (self._array.name, member.name)
            tell(LOG, "member.missing", "/".join(names), "%s: member %s is still missing: %s", *names, error)
        self._wait(member)


def _closed() -> None:
    """Nobody waits for that."""
