"""What follows from an action, in sentences made of what is known of its object at that moment."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dsttool.engine.config.units import format_duration, format_size
from dsttool.engine.vocabulary.status import ArrayStatus, MemberStatus, SessionStatus, good_members
from dsttool.tui.targets import Live

Values = Mapping[str, Any]

# Layouts in which each member holds the only copy of its part.
_SINGLE_COPY = ("linear", "stripe")
# Clients that are named; more are counted.
_NAMED = 3


def no_suspend(live: Live) -> str:
    """Why a member cannot be suspended."""
    array, member = _both(live)
    if member["state"] == "suspended":
        return f"{member['name']} is suspended already."
    if member["state"] == "missing":
        return f"{member['name']} is missing: there is nothing to suspend."
    if array["layout"] in _SINGLE_COPY:
        return f"{member['name']} holds the only copy of its part of the data."
    if array["layout"] == "mirror" and member["state"] == "in_sync" and not _good(array, member["name"]):
        return f"{member['name']} is the last good copy of {array['name']}."
    return ""


def no_discard(live: Live) -> str:
    """Why a member's content cannot be discarded."""
    array, member = _both(live)
    if member["state"] == "missing":
        return f"{member['name']} is missing: there is nothing to overwrite."
    if array["layout"] in _SINGLE_COPY:
        return f"{member['name']} holds the only copy of its part of the data."
    return "" if _good(array, member["name"]) else f"{array['name']} has no other good copy."


def no_resume(live: Live) -> str:
    """Why a member cannot be resumed."""
    _, member = _both(live)
    return "" if member["state"] == "suspended" else f"{member['name']} is not suspended."


def no_link(live: Live) -> str:
    """Why a member has no policy."""
    _, member = _both(live)
    return "" if member["link"] is not None else f"{member['name']} has no link: it is here."


def nothing_missed(live: Live) -> str:
    """Why there is nothing to resync."""
    array = _array(live)
    if array["jobs"] or any(member["state"] in ("stale", "resyncing") for member in array["members"]):
        return ""
    return f"No member of {array['name']} waits for a resync."


def not_resynced(live: Live) -> str:
    """Why there is nothing of a member to stop."""
    array, member = _both(live)
    jobs = [job for job in array["jobs"] if job.get("member") == member["name"] and job["state"] != "stopped"]
    return "" if jobs or member["state"] == "stale" else f"{member['name']} is not being resynced."


def always(_live: Live) -> bool:
    """What overwrites something is severe."""
    return True


def has_clients(live: Live) -> bool:
    """Whether somebody is connected."""
    entry = live.array or live.export
    return bool(entry and entry["sessions"])


def on_nothing(_live: Live) -> frozenset[str]:
    """An action that takes no copy away counts on none."""
    return frozenset()


def on_the_others(live: Live) -> frozenset[str]:
    """The good copies that are left while a member is none."""
    array, member = _both(live)
    return frozenset(_good(array, member["name"]))


def fewer(live: Live, good: Collection[str]) -> str:
    """What has become of good copies that were counted on; "" if all of them are still there."""
    if not good:
        return ""
    array, member = _both(live)
    now = _good(array, member["name"])
    states = {each["name"]: each["state"] for each in array["members"]}
    states = {name: "not connected" if state == "in_sync" else state for name, state in states.items()}
    lost = [f"{name} is {states.get(name, 'gone')}" for name in sorted(good) if name not in now]
    if not lost:
        return ""
    what = "Good copies" if array["layout"] == "mirror" else "Members in sync and connected"
    counts = f"{what} meanwhile: {len(now)} of {len(array['members'])}, not {len(good)}."
    return f"Changed since this was opened: {', '.join(lost)}. {counts}"


def of_suspend(live: Live, values: Values) -> list[str]:
    """As said above."""
    array, member = _both(live)
    name = member["name"]
    until = f"for {format_duration(values['for'])}" if values.get("for") else "until it is resumed"
    said = [f"{name} gets no requests {until}. What is written meanwhile is copied to it afterwards."]
    if member["in_flight"]:
        said.append(f"{_many(member['in_flight'], 'request')} under way on it end first.")
    return [*said, *_copies(array, name), *_clients(array["name"], array["sessions"])]


def of_discard(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array, member = _both(live)
    name, size = member["name"], format_size(array["size_bytes"])
    said = [
        f"All that {name} ({member['address'] or 'here'}) holds is declared void, and {size} are overwritten "
        "with what the others hold.",
        "It is not read until that is done.",
    ]
    return [*said, *_copies(array, name), *_clients(array["name"], array["sessions"])]


def of_resync_stop(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array, member = _both(live)
    said = [
        f"Nothing is copied to {member['name']} until resyncs are started, and it gets no writes either: "
        "what it misses is remembered, and copied then.",
    ]
    return [*said, *_missed(array), *_copies(array, member["name"])]


def of_resume(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array, member = _both(live)
    missed = member["dirty_bytes"]
    said = [f"{member['name']} gets requests again."]
    if missed:
        said.append(f"{format_size(missed)} that it missed are copied to it; it counts as a copy after that.")
    return [*said, *_copies(array, member["name"])]


def of_policy(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array = _array(live)
    who = live.target.node or f"every member of {array['name']} that has a link"
    return [
        f"It holds for {who} until {array['name']} goes down; all of it, or nothing if one value is wrong.",
        "A shorter budget makes errors come sooner where a link is lost, a longer one makes waiting longer.",
    ]


def of_resync_start(live: Live, _values: Values) -> list[str]:
    """As said above."""
    return ["What members missed is copied to them while the array serves.", *_missed(_array(live))]


def of_resync_pause(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array = _array(live)
    said = ["Nothing is copied until resyncs are started again. What is written still goes to every member."]
    return [*said, *_missed(array), *_copies(array, "")]


def of_resync_limit(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array = _array(live)
    said = [f"It holds for all resyncs of {array['name']} together, until it goes down."]
    said.append("A faster resync takes more from the clients; a slower one leaves fewer copies for longer.")
    return [*said, *_missed(array)]


def of_down(live: Live, _values: Values) -> list[str]:
    """As said above."""
    array = _array(live)
    said = [f"{array['name']} answers what has begun, flushes its members, and ends."]
    said += [f"Its jobs end, too; they go on when it is up again: {_jobs(array)}."] if array["jobs"] else []
    return [*said, *_clients(array["name"], array["sessions"], lose=True)]


def of_stop(live: Live, _values: Values) -> list[str]:
    """As said above."""
    export = live.export
    assert export is not None
    said = [f"The daemon {live.target.daemon} answers what has begun, flushes, and ends."]
    others = [name for name in live.serves if name != export["name"]]
    said += [f"It serves {', '.join(others)} as well, which end with it."] if others else []
    return [*said, *_clients(export["name"], export["sessions"], lose=True)]


def of_reload(live: Live, _values: Values) -> list[str]:
    """As said above."""
    return [
        f"What its configuration says of {', '.join(live.serves) or 'it'} is applied as far as that can be "
        "while it serves; if one file is wrong, nothing is.",
        "Clients that address rules or keys do not admit any more are cut off.",
    ]


def of_crypto(live: Live, _values: Values) -> list[str]:
    """As said above."""
    served = ", ".join(live.serves) or "nothing"
    return [
        f"It seals and opens large records for {served} with so many threads until it ends.",
        "More threads help sealed links on machines with cores to spare.",
    ]


def _array(live: Live) -> ArrayStatus:
    assert live.array is not None
    return live.array


def _both(live: Live) -> tuple[ArrayStatus, MemberStatus]:
    assert live.member is not None
    return _array(live), live.member


def _good(array: ArrayStatus, without: str) -> list[str]:
    """The members, but one, that hold everything and can be reached."""
    return [name for name in good_members(array) if name != without]


def _copies(array: ArrayStatus, without: str) -> list[str]:
    """How many good copies are left without a member."""
    good, total = _good(array, without), len(array["members"])
    if array["layout"] in _SINGLE_COPY:
        return []
    named = f" ({', '.join(good)})" if good else ""
    if array["layout"] != "mirror":
        return [f"Members in sync and connected meanwhile: {len(good)} of {total}{named}."]
    said = f"Good copies meanwhile: {len(good)} of {total}{named}."
    if len(good) == 1:
        said += f" If {good[0]} fails then, {array['name']} fails."
    return [said]


def _missed(array: ArrayStatus) -> list[str]:
    """What is still to be copied, and to whom."""
    each = [
        f"{member['name']} {format_size(member['dirty_bytes'])}"
        for member in array["members"]
        if member["dirty_bytes"]
    ]
    return [f"Still to be copied: {', '.join(each)}."] if each else []


def _jobs(array: ArrayStatus) -> str:
    return ", ".join(f"{job['kind']} of {job.get('member') or array['name']}" for job in array["jobs"])


def _clients(name: str, sessions: Sequence[SessionStatus], *, lose: bool = False) -> list[str]:
    """Who is connected."""
    if not sessions:
        return [f"Nobody is connected to {name}."]
    peers = ", ".join(session["peer"] for session in sessions[:_NAMED])
    more = f" and {len(sessions) - _NAMED} more" if len(sessions) > _NAMED else ""
    verb = "loses it" if len(sessions) == 1 else "lose it"
    said = f"{_many(len(sessions), 'client')} of {name}{' ' + verb if lose else ''}: {peers}{more}."
    return [said]


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
