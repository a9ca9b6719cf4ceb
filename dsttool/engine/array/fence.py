"""Fence: what an array does once a member has told it that another writer has taken over (FENCED).

Whatever it acked then might be reverted by the other writer, and whatever it read might be old; failing
would make its clients give up what is only in the wrong place. So everything is kept, unanswered, until the
array closes: then it fails with ESHUTDOWN.
"""

import errno
import logging
from collections.abc import Callable, Sequence

from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import Fenced

LOG = logging.getLogger(__name__)


class Fence:
    """up: nothing is answered any more. came: requests that came since; ended: those that ended since.
    `raised` is called when that begins."""

    def __init__(self, name: str, members: Sequence[Member], raised: Callable[[], None]) -> None:
        self._raised = raised
        self._name = name
        self._members = members
        self.up = False
        self.came: list[Request] = []
        self.ended: list[Request] = []

    def check(self) -> bool:
        """Whether any member is fenced off, now that one of them has ended or failed."""
        for member in () if self.up else self._members:
            if member.node is not None and isinstance(member.node.failure, Fenced):
                self.up = True
                tell(
                    *(LOG, "member.fenced", f"{self._name}/{member.name}"),
                    *("%s is frozen: member %s has another writer: %s", self._name, member.name),
                    member.node.failure,
                )
                self._raised()
                break
        return self.up

    def open(self) -> list[Request]:
        """The array closes: fail what came, and return what had ended, failed as well."""
        came, self.came = self.came, []
        ended, self.ended = self.ended, []
        for request in (*came, *ended):
            request.error = errno.ESHUTDOWN
        if came:
            deliver(came)
        return ended
