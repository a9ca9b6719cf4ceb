"""What an action is about: pinned when somebody chooses it, and what is known of just that later on.

Rows move, daemons are started again under the same name. So an action keeps which start of which daemon its
user saw (while that runs a member's name stands for the same member), and which good copies they were told
of; what is another by now is refused here with a sentence, and by the daemon itself (`Expect`) if it changed
on the way. What else changes, of that member or of others, is no reason to refuse.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from dsttool.engine.control.messages import Expect
from dsttool.engine.control.picture import DaemonPicture, Picture
from dsttool.engine.vocabulary.errors import Conflict, NotFound, Unreachable
from dsttool.engine.vocabulary.status import ArrayStatus, DaemonStatus, ExportStatus, MemberStatus
from dsttool.tui.cells import age
from dsttool.tui.subject import Subject

Kind = Literal["node", "array", "export", "daemon"]

_AGAIN = "Close this, look at what is there now, and choose again."


@dataclass(frozen=True, slots=True)
class Target:
    """One object, once and for all. name: the array's, export's or daemon's; node: a member's, else ""."""

    kind: Kind
    place: str
    daemon: str
    instance: str
    name: str
    node: str = ""

    @property
    def label(self) -> str:
        """As people say it."""
        if self.kind == "node":
            return f"{self.name}/{self.node}"
        return f"daemon {self.name}" if self.kind == "daemon" else self.name

    def expect(self, good: Collection[str]) -> Expect:
        """What the daemon has to be for a message to be meant for it. good: the members that have to be good
        copies still.
        """
        if self.kind not in ("node", "array"):
            return {"instance": self.instance}
        expect: Expect = {"instance": self.instance, "name": self.name}
        return {**expect, "good": sorted(good)} if good else expect


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of a target now. array: for members, too; serves: all that its daemon serves."""

    target: Target
    daemon: DaemonStatus
    array: ArrayStatus | None
    member: MemberStatus | None
    export: ExportStatus | None

    @property
    def serves(self) -> list[str]:
        """The names that its daemon serves."""
        return self.daemon["serves"]


def pinned(picture: Picture, subject: Subject) -> list[Target]:
    """The targets that a row stands for: the thing itself, then what it is part of. None for what is lost."""
    known = picture.places.get(subject.place)
    daemon = known.daemons.get(subject.daemon) if known else None
    if daemon is None or daemon.hello is None or daemon.state is None or daemon.lost_since_ns is not None:
        return []
    place, name, instance = subject.place, subject.daemon, daemon.hello["instance"]
    found = []
    array = daemon.state["arrays"].get(subject.name)
    if array is not None:
        if any(member["name"] == subject.node for member in array["members"]):
            found.append(Target("node", place, name, instance, subject.name, subject.node))
        found.append(Target("array", place, name, instance, subject.name))
    elif subject.name in daemon.state["exports"]:
        found.append(Target("export", place, name, instance, subject.name))
    return [*found, Target("daemon", place, name, instance, name)]


def look(picture: Picture, target: Target) -> Live:
    """What is known of a target now. Raises Unreachable, Conflict, NotFound if it is not there any more."""
    known = picture.places.get(target.place)
    daemon = known.daemons.get(target.daemon) if known else None
    if daemon is None or daemon.hello is None or daemon.state is None:
        raise NotFound(f"Nothing is known of the daemon {target.daemon} any more.", _AGAIN)
    if daemon.ended:
        raise NotFound(f"The daemon {target.daemon} has ended.", _AGAIN)
    if daemon.lost_since_ns is not None:
        reason = f": {daemon.reason}" if daemon.reason else ""
        raise Unreachable(f"The daemon {target.daemon} cannot be reached{reason}.", _AGAIN)
    if daemon.hello["instance"] != target.instance:
        raise Conflict(f"The daemon {target.daemon} has been started again since this was opened.", _AGAIN)
    state = daemon.state
    array = state["arrays"].get(target.name) if target.kind in ("node", "array") else None
    export = state["exports"].get(target.name) if target.kind == "export" else None
    if target.kind != "daemon" and array is None and export is None:
        raise NotFound(f"{target.name} is not there any more.", _AGAIN)
    member = next((each for each in array["members"] if each["name"] == target.node), None) if array else None
    if target.kind == "node" and member is None:
        raise NotFound(f"{target.label} is not there any more.", _AGAIN)
    return Live(target, state["daemon"], array, member, export)


def silence(daemon: DaemonPicture, now_ns: int) -> str:
    """ "" for a daemon that is heard, else a sentence saying since when it is not, and why."""
    if not daemon.stale(now_ns):
        return ""
    if daemon.ended:
        return f"It ended {age(daemon.age_ns(now_ns))} ago. What follows was true then."
    reason = f" ({daemon.reason.rstrip('.')})" if daemon.reason else ""
    if daemon.hello is None:
        return f"Nothing was heard of it yet{reason}."
    return f"Nothing was heard of it for {age(daemon.age_ns(now_ns))}{reason}. What follows was true then."
