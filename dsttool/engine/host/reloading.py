"""Reading the configuration again while a daemon runs: on SIGHUP, and by a control command.

    reload  {dry?}      answers {"name", "applied", "restart", "unchanged", "remarks"}; with `dry` nothing is
                        applied

Everything is read, in a thread, and compared with what holds, before the first change is made: what is wrong
in any file leaves everything as it was. So does a place that cannot be listened at: the one change that the
system may refuse is made before the others. Then comes what can be changed while clients are served
(`applied`). The rest is named (`restart`), and named again each time until the daemon was started anew. What
a command line said is stronger than the configuration; it is not compared.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dsttool.engine.control.server import Answer
from dsttool.engine.host import service
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.checkup import ConfigChange
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Comparison:
    """What is found to be another than before. acts: what has to be done for all that is `applied`.

    attempt: what has to be done before, and may raise DsttoolError, having changed nothing.
    """

    applied: list[ConfigChange] = field(default_factory=list)
    restart: list[ConfigChange] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    acts: list[Callable[[], None]] = field(default_factory=list)
    attempt: Callable[[], None] | None = None

    def live(self, of: str, key: str, before: object, after: object, act: Callable[[], None]) -> None:
        """A value that can be changed now, by `act`. of: NAME, NAME/MEMBER, or '' for the daemon."""
        if self._compare(self.applied, of, key, before, after):
            self.acts.append(act)

    def fixed(self, of: str, key: str, before: object, after: object) -> None:
        """A value that only a start takes up."""
        self._compare(self.restart, of, key, before, after)

    def _compare(self, changes: list[ConfigChange], of: str, key: str, before: object, after: object) -> bool:
        if before == after:
            self.unchanged.append(f"{of}: {key}" if of else key)
            return False
        changes.append({"of": of, "key": key, "before": spoken(before), "after": spoken(after)})
        return True


def spoken(value: object) -> str:
    """A configured value as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "default" if value is None or value == "" else str(value)


class Part(Protocol):
    """Something of a daemon that comes out of files."""

    def look_up(self) -> None:
        """What may take long to find out about what is read next: blocks. Raises DsttoolError."""

    def read(self) -> Any:
        """What the files say; blocks. Raises DsttoolError."""

    def compare(self, found: Any, comparison: Comparison) -> None:
        """Add what is another; changes nothing. On the reactor. Raises DsttoolError."""


class Reloading:
    """Of one daemon, one reload at a time. remarks: where its parts leave what people should know."""

    def __init__(self, reactor: Reactor, name: str, parts: Sequence[Part], remarks: list[str]) -> None:
        self._reactor = reactor
        self._remarks = remarks
        self._name = name
        self._parts = parts
        self._running = False
        self._again = False

    def command(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The control command."""
        self._begin(answer, dry=bool(arguments.get("dry")))

    def by_signal(self) -> None:
        """SIGHUP: the log has the answer. What was written after another reload has begun must count, too."""
        if self._running:
            self._again = True
        else:
            self._begin(_to_nobody, dry=False)

    def _begin(self, answer: Callable[[Any], None], *, dry: bool) -> None:
        if self._running:
            raise Conflict(f"{self._name} is reading its configuration already.", "Try again.")
        self._running = True
        if not dry:
            service.notify_reloading()

        def look_up() -> None:
            for part in self._parts:
                part.look_up()

        def read(found: list[Any] | None, error: BaseException | None) -> None:
            self._running = False
            self._take(found, error, answer, dry=dry)
            if self._again:
                self._again = False
                self.by_signal()

        def looked_up(_: object, error: BaseException | None) -> None:
            if error is not None:
                read(None, error)
                return
            # The lane of those who store what they change of it, and who must not wait for name servers.
            self._reactor.run_blocking(lambda: [part.read() for part in self._parts], read, "state")

        self._reactor.run_blocking(look_up, looked_up, "names")

    def _take(
        self,
        found: list[Any] | None,
        error: BaseException | None,
        answer: Callable[[Any], None],
        *,
        dry: bool,
    ) -> None:
        comparison = Comparison()
        try:
            if error is not None:
                raise error
            assert found is not None
            for part, content in zip(self._parts, found):
                part.compare(content, comparison)
            self._remarks.clear()
            if not dry and comparison.attempt is not None:
                comparison.attempt()
        except DsttoolError as failure:
            self._failed(failure, answer, dry=dry)
            return
        except Exception as failure:
            LOG.exception("reading the configuration failed")
            self._failed(DsttoolError(f"Reading the configuration failed: {failure!r}."), answer, dry=dry)
            return
        if not dry:
            for act in comparison.acts:
                act()
            self._tell(comparison)
            service.notify("READY=1")
        answer(
            {
                "name": self._name,
                "applied": comparison.applied,
                "restart": comparison.restart,
                "unchanged": comparison.unchanged,
                "remarks": list(self._remarks),
            }
        )

    def _failed(self, error: DsttoolError, answer: Callable[[Any], None], *, dry: bool) -> None:
        if not dry:
            message = "%s: its configuration was not taken up, nothing is changed: %s"
            tell(LOG, "daemon.not_reloaded", self._name, message, self._name, error)
            service.notify("READY=1")
        answer(error)

    def _tell(self, comparison: Comparison) -> None:
        applied, restart = (_listed(each) for each in (comparison.applied, comparison.restart))
        text = f"applied: {applied or 'nothing'}" + (f"; needs a restart: {restart}" if restart else "")
        tell(LOG, "daemon.reloaded", self._name, "%s: configuration read again; %s", self._name, text)
        for remark in self._remarks:
            LOG.warning("%s: %s", self._name, remark)


def _listed(changes: Sequence[ConfigChange]) -> str:
    return ", ".join(
        f"{each['of'] + ': ' if each['of'] else ''}{each['key']} {each['before']} -> {each['after']}"
        for each in changes
    )


def _to_nobody(_answer: Any) -> None:
    """Whoever sent the signal looks into the log."""
