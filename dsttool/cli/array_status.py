"""What people are told of an array: its state, what that means, what to do, and what runs."""

from collections.abc import Sequence
from typing import Final

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size, format_span
from dsttool.engine.vocabulary.status import ArrayStatus, JobStatus, LinkStatus, MemberStatus, SessionStatus

MEANING: Final = {
    "online": "every member is in sync",
    "degraded": "it serves from the members that are in sync, and fewer copies are left than there should be",
    "frozen": "it holds all requests until somebody decides",
    "failed": "members it cannot do without are lost, and requests fail",
    "down": "it does not run",
}
# What to do about a member that is not in sync.
_MEMBER_ADVICE: Final = {
    "stale": "{member} missed writes: they are copied to it as soon as it is there and connected.",
    "resyncing": "{member} missed writes, which are being copied to it: dsttool wait {name} --for clean",
    "rebuilding": "{member} is being filled: dsttool wait {name} --for clean",
    "suspended": "{member} is suspended and gets no requests: dsttool node resume {name} {member}",
    "missing": "{member} is not there: bring back what is at {address}.",
    "faulty": "{member} has ended for good{reason} Bring it back, then restart {name}: "
    "dsttool array down {name}, dsttool array up {name}",
}
# By the state of its resync, if nothing is copied to it until somebody says so.
_HELD: Final = {
    "stopped": "{member} missed writes, and its resync was stopped: it gets nothing until "
    "dsttool resync start {name}",
    "paused": "{member} missed writes, and its resync is paused: they are not copied until "
    "dsttool resync start {name}",
}
_FAILING: Final = (
    "{member} missed writes, and copying them to it fails{reason} Mend what is at {address}: it is tried "
    "again by itself."
)
_AWAY: Final = {
    "in_sync": "{member} cannot be reached: what needs it waits as long as its budget lasts. Bring back what "
    "is at {address}.",
    "stale": "{member} missed writes and cannot be reached: bring back what is at {address}, and they are "
    "copied to it.",
}
_FENCED: Final = (
    "Another writer has taken {member} over. What {name} still holds is not sent any more, for it could "
    "destroy what that one wrote: take {name} down with dsttool array down {name}"
)
_FROZEN: Final = (
    "Requests on {member} had no answer within their budget. Bring back what is at {address}, or let them "
    "fail: dsttool policy set {name}/{member} on_exhausted=fail"
)


def show_array(settings: Settings, array: ArrayStatus, *, clients: bool) -> None:
    """One array, a block of lines. clients: each of them, too."""
    name, word = array["name"], array["state"]
    headline = f"{render.emphasis(settings, name)}  {render.state(settings, word)}"
    click.echo(f"{headline}: {MEANING.get(word, word)}.", color=True)
    for line in advice(array):
        click.echo(line)
    size = format_size(array["size_bytes"])
    click.echo(f"{array['layout']}, {size}; {_work(array)}; {_number(array['sessions'])}")
    _show_members(settings, array["members"])
    for job in array["jobs"]:
        click.echo(_job(settings, job), color=True)
    for address in array["addresses"]:
        click.echo(f"at {address}")
    if clients:
        show_clients(settings, array["sessions"])


def show_clients(settings: Settings, sessions: Sequence[SessionStatus]) -> None:
    """Who uses an array or an export; nothing if nobody does."""
    if not sessions:
        return
    render.table(
        settings,
        ("CLIENT", "OWNER", "PROTOCOL", "ACCESS", "LINKS", "IN FLIGHT"),
        [
            (
                session["peer"],
                session["owner"] or render.UNKNOWN,
                session["protocol"],
                session["access"],
                str(session["links"]),
                str(session["in_flight"]),
            )
            for session in sessions
        ],
        right=("LINKS", "IN FLIGHT"),
    )


def advice(array: ArrayStatus) -> list[str]:
    """What to do about an array, a line for each member that needs something."""
    members = array["members"]
    if array["state"] == "frozen":
        fenced = [member for member in members if member["state"] == "faulty"]
        held = [member for member in members if member["link"] and member["link"]["state"] != "up"]
        return [_said(_FENCED, array, member) for member in fenced] or [
            _said(_FROZEN, array, member) for member in held
        ]
    resyncs = {job.get("member"): _HELD[job["state"]] for job in array["jobs"] if job["state"] in _HELD}
    texts = [(resyncs.get(member["name"]) or _advice(member), member) for member in members]
    return [_said(text, array, member) for text, member in texts if text]


def _advice(member: MemberStatus) -> str:
    """What to do about one member; '' for nothing."""
    state, link = member["state"], member["link"]
    if link and link["state"] != "up" and state in _AWAY:
        return _AWAY[state]
    if state == "stale" and member.get("reason"):
        return _FAILING
    return _MEMBER_ADVICE.get(state, "")


def _said(text: str, array: ArrayStatus, member: MemberStatus) -> str:
    return text.format(
        name=array["name"],
        member=member["name"],
        address=member["address"] or "its address",
        reason=f": {str(member['reason']).rstrip('.')}." if member.get("reason") else ".",
    )


def _show_members(settings: Settings, members: Sequence[MemberStatus]) -> None:
    columns = (
        "SLOT",
        "MEMBER",
        "STATE",
        "SIZE",
        "DIRTY",
        "LINK",
        "RTT",
        "IN FLIGHT",
        "RESENT",
        "ERRORS",
        "ADDRESS",
    )
    render.table(
        settings,
        columns,
        [
            (
                str(member["slot"]),
                member["name"],
                render.state(settings, member["state"]),
                _size(member.get("size_bytes")),
                _size(member["dirty_bytes"]),
                link_text(settings, member["link"]),
                _rtt(member["link"]),
                str(member["in_flight"]),
                str(member["resends"]),
                str(member["errors"]),
                member["address"] or render.UNKNOWN,
            )
            for member in members
        ],
        right=("SLOT", "SIZE", "DIRTY", "RTT", "IN FLIGHT", "RESENT", "ERRORS"),
    )


def link_text(settings: Settings, link: LinkStatus | None) -> str:
    """A link's state and, where it is protected, by what."""
    if link is None:
        return render.UNKNOWN
    protected = link["security"] not in (None, "none")
    return render.state(settings, link["state"]) + (f" ({link['security']})" if protected else "")


def _job(settings: Settings, job: JobStatus) -> str:
    done, total = job["done_bytes"], job["total_bytes"]
    shown = f"{job['kind']} {render.state(settings, job['state'])}: {format_size(done)}"
    if total:
        shown += f" of {format_size(total)} ({done / total:.0%})"
    if job["rate_bytes"] is not None:
        shown += f", {format_size(job['rate_bytes'])}/s"
    if job["eta_ns"] is not None:
        shown += f", {format_span(max(job['eta_ns'], 10**9))} left"
    return shown


def _work(array: ArrayStatus) -> str:
    read, written = format_size(array["read_bytes"]), format_size(array["written_bytes"])
    return f"{array['in_flight']} in flight, {read} read, {written} written, {array['errors']} errors"


def _number(sessions: Sequence[SessionStatus] | None) -> str:
    count = len(sessions or ())
    return f"{count} client{'' if count == 1 else 's'}"


def _size(count: int | None) -> str:
    return render.UNKNOWN if count is None else format_size(count)


def _rtt(link: LinkStatus | None) -> str:
    if link is None or link["rtt_ns"] is None:
        return render.UNKNOWN
    return f"{link['rtt_ns'] / 1e6:.2f} ms"
