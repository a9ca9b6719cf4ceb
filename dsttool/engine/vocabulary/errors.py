"""Errors for people: one sentence what is wrong, one what to do, and an exit code.

DsttoolError            1  failed
+- UsageError           2  the command line or a configuration file is wrong
+- NotFound             3  no such object
+- Unreachable          4  a daemon or a peer cannot be reached
+- Forbidden            5  permission
+- Unsafe               6  refused as unsafe, or declined
+- TimedOut             7  timed out
+- Conflict             8  state conflict
|  +- Fenced           8  another writer has taken over
+- ProtocolError        1  a peer broke the protocol
"""

import errno
import os


class DsttoolError(Exception):
    """Something failed in a way a person can act on.

    `what` is one sentence saying what is wrong, `advice` one saying what to do (may be empty).
    """

    exit_code = 1

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def with_advice(self, advice: str) -> "DsttoolError":
        """The same error with other advice."""
        self.advice = advice
        return self

    def __str__(self) -> str:
        return f"{self.what} {self.advice}" if self.advice else self.what


class UsageError(DsttoolError):
    """The command line, an address or a configuration file is wrong."""

    exit_code = 2


class NotFound(DsttoolError):
    """The named array, export, node or file does not exist."""

    exit_code = 3


class Unreachable(DsttoolError):
    """A daemon or a peer cannot be reached."""

    exit_code = 4


class Forbidden(DsttoolError):
    """Permission denied by the system or by the peer."""

    exit_code = 5


class Unsafe(DsttoolError):
    """Refused because data might be lost, or declined by the user."""

    exit_code = 6


class TimedOut(DsttoolError):
    """It did not happen in the time given."""

    exit_code = 7


class Conflict(DsttoolError):
    """The object is in a state that does not allow this."""

    exit_code = 8


class Fenced(Conflict):
    """Another writer has taken over: what this one still holds is never sent again."""


class ProtocolError(DsttoolError):
    """A peer's bytes break the protocol. Ends that connection only."""


_ADVICE = {
    errno.ENOSPC: "Make room there, or choose another place.",
    errno.EDQUOT: "Make room there, or choose another place.",
    errno.EROFS: "Choose a place that can be written.",
    errno.EIO: "Check the medium; the kernel's log says more.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n).",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Give a file, not a folder.",
}


def from_oserror(error: OSError, what: str) -> DsttoolError:
    """The error to show for an OSError met while doing `what` ("open /dev/sdb")."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    sentence = f"Cannot {what}: {reason}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return Forbidden(sentence, "Check the permissions, or run as a user who has them.")
    if error.errno == errno.ENOENT:
        return NotFound(sentence, "Check the path.")
    return DsttoolError(sentence, _ADVICE.get(error.errno or 0, "The kernel's log may say more."))
