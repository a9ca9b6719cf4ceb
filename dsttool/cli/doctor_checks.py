"""What the checks of `doctor` share: what they are given, and how they say what they found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dsttool.engine.config import paths
from dsttool.engine.control import client, gathering
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary.checkup import Finding
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, Status

State = Literal["ok", "warning", "failed", "unknown"]


@dataclass
class Patient:
    """What is looked at: everything on this machine, or what concerns one array or export.

    name: None for everything. timeout: seconds that each node and each daemon has to answer.
    """

    name: str | None = None
    timeout: float = client.ANSWER_TIMEOUT

    def concerns(self, name: str) -> bool:
        """Whether an array or export is to be looked at."""
        return self.name is None or self.name == name

    @cached_property
    def status(self) -> Status:
        """What all daemons say, asked once."""
        return gathering.gather(Local(paths.runtime_dir()), self.timeout)

    @property
    def running(self) -> list[ArrayStatus | ExportStatus]:
        """What runs and is to be looked at."""
        everything: list[ArrayStatus | ExportStatus] = [*self.status["arrays"], *self.status["exports"]]
        return [each for each in everything if self.concerns(each["name"])]

    @property
    def arrays(self) -> list[str]:
        """Names of configured arrays that are to be looked at."""
        return [name for name in paths.array_names() if self.concerns(name)]

    @property
    def exports(self) -> list[str]:
        """Names of configured exports that are to be looked at."""
        return [name for name in paths.export_names() if self.concerns(name)]


Check = Callable[[Patient], Iterable[Finding]]
"""Looks at one thing and says what it found; may raise DsttoolError or OSError if it cannot."""


def ok(check: str, says: str, subject: str = "", advice: str = "") -> Finding:
    """As it should be."""
    return _finding(check, "ok", says, subject, advice)


def warning(check: str, says: str, advice: str, subject: str = "") -> Finding:
    """It works, but not as well as it could, or not for long."""
    return _finding(check, "warning", says, subject, advice)


def failed(check: str, says: str, advice: str, subject: str = "") -> Finding:
    """It does not work, or is not safe."""
    return _finding(check, "failed", says, subject, advice)


def unknown(check: str, says: str, advice: str = "", subject: str = "") -> Finding:
    """Nobody can tell."""
    return _finding(check, "unknown", says, subject, advice)


def _finding(check: str, state: State, says: str, subject: str, advice: str) -> Finding:
    return {"check": check, "subject": subject, "state": state, "says": says, "advice": advice}
