"""Commands that wait for a state, and the control command `wait` that they send.

Nothing polls: whoever changes a state says so (`Waits.changed`), and those who wait are looked at once
when that turn of the reactor is over. Each waits until its condition holds, its time is over, its client
leaves, or the daemon ends.

What can be waited for, of an array (an export can only be waited for to be up):

    up         it serves: online or degraded
    connected  no member is missing or suspended, and every link is up
    clean      every member is in sync, and no job runs
    degraded   it serves with fewer copies than it should
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dsttool.engine.control.server import Answer
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.errors import Conflict, NotFound, TimedOut, Unreachable, UsageError

# Half of the control socket's conversations: the other half is for those who want an answer now.
WAITS_MAX: Final = 16

Statuses = Callable[[], tuple[list[Any], list[Any]]]
"""Arrays and exports of this daemon, as vocabulary.status has them. Called on the reactor."""


def obstacle(condition: str, entry: Mapping[str, Any]) -> str:
    """What keeps the condition from holding, as the end of a sentence; '' if it holds.

    entry: an ArrayStatus or an ExportStatus. Raises Conflict for an export, UsageError.
    """
    if condition not in _OBSTACLES:
        raise UsageError(f"'{condition}' is none of {', '.join(_OBSTACLES)}.", "Wait for one of them.")
    if "members" not in entry and condition != "up":
        raise Conflict(f"{entry['name']} is an export.", "It can be waited for to be up.")
    return _OBSTACLES[condition](entry)


def _not_up(entry: Mapping[str, Any]) -> str:
    # An export that waits for its first key serves this machine.
    serves = ("online", "degraded", "serving", "read_only", "waiting")
    return "" if entry["state"] in serves else f"it is {entry['state']}"


def _not_degraded(array: Mapping[str, Any]) -> str:
    return "" if array["state"] == "degraded" else f"it is {array['state']}"


def _not_connected(array: Mapping[str, Any]) -> str:
    return _listed(
        [
            f"{member['name']} is {member['state']}"
            if member["state"] in ("missing", "suspended")
            else f"the link of {member['name']} is {member['link']['state']}"
            for member in array["members"]
            if member["state"] in ("missing", "suspended")
            or (member["link"] is not None and member["link"]["state"] != "up")
        ]
    )


def _not_clean(array: Mapping[str, Any]) -> str:
    members = [
        f"{each['name']} is {each['state']}" for each in array["members"] if each["state"] != "in_sync"
    ]
    jobs = [f"a {each['kind']} is {each['state']}" for each in array["jobs"] if each["state"] != "done"]
    return _listed(members or jobs)


def _listed(reasons: Sequence[str]) -> str:
    return " and ".join(reasons).replace("in_sync", "in sync")


_OBSTACLES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "up": _not_up,
    "clean": _not_clean,
    "connected": _not_connected,
    "degraded": _not_degraded,
}


class _Wait:
    __slots__ = ("answer", "condition", "name", "timer")

    def __init__(self, name: str, condition: str, answer: Answer) -> None:
        self.name = name
        self.condition = condition
        self.answer = answer
        self.timer: Timer | None = None


class Waits:
    """Everybody who waits for a state of what one daemon serves."""

    def __init__(self, reactor: Reactor, statuses: Statuses) -> None:
        self._reactor = reactor
        self._statuses = statuses
        self._waiting: dict[_Wait, None] = {}
        self._due = False

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The control command: {name, condition, timeout_ns or null}; answers with the status that holds.

        Raises NotFound, Conflict, UsageError; answers TimedOut, or Unreachable when the daemon ends first.
        """
        name, condition = str(arguments.get("name")), str(arguments.get("condition"))
        timeout_ns = arguments.get("timeout_ns")
        entry = self._entry(name)
        if not obstacle(condition, entry):
            answer(entry)
            return
        if len(self._waiting) >= WAITS_MAX:
            raise Conflict(f"{WAITS_MAX} commands wait for {name} already.", "End some of them first.")
        wait = _Wait(name, condition, answer)
        self._waiting[wait] = None
        if isinstance(timeout_ns, int):
            wait.timer = self._reactor.call_later(timeout_ns, lambda: self._time_is_over(wait))
        answer.later(lambda: self._drop(wait))

    def changed(self) -> None:
        """Some state may have changed."""
        if self._waiting and not self._due:
            self._due = True
            self._reactor.post(self._look)

    def end(self) -> None:
        """The daemon ends."""
        for wait in list(self._waiting):
            self._drop(wait)
            wait.answer(
                Unreachable(
                    f"{wait.name} was taken down while it was waited for.",
                    "`dsttool status` lists what runs.",
                )
            )

    def _look(self) -> None:
        self._due = False
        for wait in list(self._waiting):
            entry = self._entry(wait.name)
            if not obstacle(wait.condition, entry):
                self._drop(wait)
                wait.answer(entry)

    def _time_is_over(self, wait: _Wait) -> None:
        reason = obstacle(wait.condition, self._entry(wait.name))
        self._drop(wait)
        wait.answer(
            TimedOut(
                f"{wait.name} did not become {wait.condition} in time: {reason}.",
                f"See `dsttool status {wait.name}`.",
            )
        )

    def _drop(self, wait: _Wait) -> None:
        self._waiting.pop(wait, None)
        if wait.timer is not None:
            wait.timer.cancel()

    def _entry(self, name: str) -> Mapping[str, Any]:
        for kind in self._statuses():
            for entry in kind:
                if entry["name"] == name:
                    return entry  # type: ignore[no-any-return]
        raise NotFound(f"This daemon serves nothing called {name}.", "`dsttool status` lists what runs.")
