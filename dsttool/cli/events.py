"""`events`: what happened, as the daemons tell it."""

import queue
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, get_args

import click

from dsttool.cli import render
from dsttool.cli.asking import is_here, places, reach, split_node
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.units import parse_duration
from dsttool.engine.control import client, gathering
from dsttool.engine.vocabulary.answers import EventLine, Events
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError
from dsttool.engine.vocabulary.stream import Event, Level
from dsttool.engine.vocabulary.suggest import suggest

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Update
    from dsttool.engine.control.place import Place

_LEVELS: Final = get_args(Level)
_ID: Final = re.compile("[0-9]{1,18}")
# In the colour of the states that are as bad.
_STATE_OF_LEVEL: Final = {"warning": "degraded", "error": "failed"}

Wanted = Callable[[Event], bool]


@click.command(
    epilog="""\b
Examples:
  dsttool events pool --since 1h
  dsttool events --follow -o jsonl | jq -r .text
"""
)
@click.argument("name", required=False, metavar="[NAME[/NODE]]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option(
    "--since",
    metavar="TIME|ID",
    help="Only newer ones: than a time ago (10m), than a time (2026-05-01T12:00), or than the event ID.",
)
@click.option("--level", type=click.Choice(_LEVELS), default="info", help="Only these and worse ones.")
@shared(waits=True, asks=True)
def events(settings: Settings, name: str | None, follow: bool, since: str | None, level: str) -> None:
    """Show what happened to arrays, nodes, links and exports: the last 1000 events of each daemon.

    Events are numbered by each daemon from its start, without gaps; `instance` in JSON is another for each
    start. What happened in a daemon that has ended is in its log (dsttool logs NAME). A NAME that nothing has
    which runs or is configured, and that no event is about, is unknown (exit 3).

    With --follow, daemons may come and go meanwhile, NAME too, and whatever happens from now on is told; -o
    jsonl has one event a line.
    """
    wanted = _wanted(name, since, level, new_ns=time.time_ns() if follow else None)
    if follow:
        _follow(settings, name, wanted)
        return
    with places(settings) as chosen:
        remembered = [each for place in chosen for each in _of_place(settings, place)]
        if name is not None:
            _check_known(settings, chosen, name, remembered)
        several = len(chosen) > 1
    found = [each for each in remembered if wanted(each)]
    found.sort(key=lambda each: each["time_ns"])
    if settings.json:
        answer: Events = {"schema": "dsttool.events/1", "events": found}
        render.emit_json(settings, answer, found)
        return
    if not found and settings.format == "table":
        render.say(settings, "No such event is remembered.")
    for each in found:
        _print(settings, each, several=several)


def _wanted(name: str | None, since: str | None, level: str, new_ns: int | None) -> Wanted:
    """Which events were asked for. UsageError. new_ns: from then on whatever number they have: a daemon that
    starts again begins anew with its numbers.
    """
    lowest = _LEVELS.index(level)
    array, node = (None, None) if name is None else split_node(name)
    after_id, after_ns = _since(since)

    def wanted(event: Event) -> bool:
        return (
            (event["level"] not in _LEVELS or _LEVELS.index(event["level"]) >= lowest)
            and event["time_ns"] >= after_ns
            and (event["id"] > after_id or (new_ns is not None and event["time_ns"] >= new_ns))
            and (not array or event["name"] == array)
            and (not node or event["node"] == node)
        )

    return wanted


def _since(text: str | None) -> tuple[int, int]:
    """The id after which, and the Unix time in ns from which, events are wanted. UsageError."""
    if text is None:
        return -1, 0
    if _ID.fullmatch(text):
        return int(text), 0
    try:
        return -1, int(datetime.fromisoformat(text).timestamp() * 1e9)
    except (ValueError, OverflowError):
        pass
    try:
        return -1, time.time_ns() - parse_duration(text)
    except UsageError:
        raise UsageError(
            f"'{text}' is no time and no number of an event.",
            "Write for example 10m, 2026-05-01T12:00, or the id of an event.",
        ) from None


def _of_place(settings: Settings, place: "Place") -> list[EventLine]:
    """What all daemons of a place remember; those that do not answer are left out, with a note."""
    timeout = settings.timeout or client.ANSWER_TIMEOUT
    found: list[EventLine] = []
    for daemon in place.daemons():
        try:
            with place.connect(daemon, timeout) as asked:
                remembered = asked.call("events")
        except NotFound:
            continue  # It has just ended.
        except DsttoolError as error:
            render.note(settings, str(error))
        else:
            found += [
                _line(place.name, daemon, remembered["instance"], event) for event in remembered["events"]
            ]
    return found


def _check_known(
    settings: Settings, chosen: "Sequence[Place]", name: str, remembered: Sequence[EventLine]
) -> None:
    """NotFound for a name, or a node, that nothing has and no event is about.

    What is configured is known, though nothing can be remembered of it while it does not run.
    """
    array, node = split_node(name)
    if any(each["name"] == array and node in (None, each["node"]) for each in remembered):
        return
    if node is None and any(array in place.daemons() for place in chosen):
        return  # Nobody has to answer for that, and whoever hangs was waited for.
    found = [gathering.gather(place, settings.timeout or client.ANSWER_TIMEOUT, array) for place in chosen]
    served: dict[str, list[str]] = {each["name"]: [] for status in found for each in status["exports"]}
    for status in found:
        served |= {each["name"]: [member["name"] for member in each["members"]] for each in status["arrays"]}
    if array in served:
        if node is not None and node not in served[array]:
            raise _no_member(array, node, served[array])
        return
    daemons = {each["name"] for status in found for each in status["daemons"]}
    if array in daemons or (is_here(settings) and array in (*paths.array_names(), *paths.export_names())):
        return
    near = suggest(array, {*served, *(each["name"] for each in remembered)})
    advice = f"Did you mean {near}?" if near else "`dsttool status` lists what runs."
    if is_here(settings) and paths.log_file(array).exists():
        advice = f"What happened is in its log: dsttool logs {array}"
    raise NotFound(f"Nothing called {array} is running, and no event of it is remembered.", advice)


def _no_member(array: str, node: str, members: Sequence[str]) -> NotFound:
    there = f"There are: {', '.join(members)}." if members else f"See `dsttool status {array}`."
    return NotFound(f"{array} has no member called {node}.", there)


def _note_absence(settings: Settings, place: "Place", name: str) -> None:
    """Whoever waits for the events of a name that nobody has here, yet, is told."""
    array, _ = split_node(name)
    try:
        gathering.find(place, array, settings.timeout or client.ANSWER_TIMEOUT)
    except NotFound:
        render.note(settings, f"{array} is not running yet.")
    except DsttoolError:
        pass  # It is tried again while it is followed, and said then.


def _follow(settings: Settings, name: str | None, wanted: Wanted) -> None:
    from dsttool.engine.control.watching import Watch

    arrived: queue.SimpleQueue[Update] = queue.SimpleQueue()
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    reasons: dict[tuple[str, str], str] = {}
    with places(settings) as chosen:
        reach(chosen)
        if name is not None and is_here(settings) and not settings.json:
            _note_absence(settings, chosen[0], name)
        watch = Watch(chosen, arrived.put, transactions=False)
        try:
            while True:
                update = arrived.get()
                for event in _news(update, seen):
                    if wanted(event):
                        instance, _ = seen[update.place, update.daemon]
                        line = _line(update.place, update.daemon, instance, event)
                        _print(settings, line, several=len(chosen) > 1)
                if update.frame is None or update.frame["type"] == "snapshot":
                    _note_loss(settings, update, reasons)
        finally:
            watch.close()


def _news(update: "Update", seen: dict[tuple[str, str], tuple[str, int]]) -> list[Event]:
    """The events in an update that were not in an earlier one. seen: instance and last id of each daemon."""
    key = (update.place, update.daemon)
    frame = update.frame
    instance, last = seen.get(key, ("", 0))
    if frame is None:
        return []
    if frame["type"] == "hello" and frame["instance"] != instance:
        seen[key] = (frame["instance"], 0)
        return []
    told: list[Event] = []
    if frame["type"] == "snapshot":
        told = [event for event in frame["events"] if event["id"] > last]
    elif frame["type"] == "event" and frame["event"]["id"] > last:
        told = [frame["event"]]
    if told:
        seen[key] = (instance, told[-1]["id"])
    return told


def _note_loss(settings: Settings, update: "Update", reasons: dict[tuple[str, str], str]) -> None:
    """Somebody who follows is told when nothing can come any more from there; it is no event of a daemon.

    reasons: of what was told of last; that it still is so after another attempt is no news.
    """
    key = (update.place, update.daemon)
    before, reasons[key] = reasons.get(key, ""), update.reason
    if update.reason and update.reason != before and not settings.json:
        what = f"the daemon {update.daemon}" if update.daemon else f"the machine {update.place}"
        render.note(settings, f"No news from {what}: {update.reason.rstrip('.')}.")


def _line(place: str, daemon: str, instance: str, event: Event) -> EventLine:
    return {**event, "place": place, "daemon": daemon, "instance": instance}


def _print(settings: Settings, event: EventLine, *, several: bool) -> None:
    """One line for one event, at once: whoever reads them waits for them."""
    if settings.json:
        render.emit_line(event)
        return
    moment = datetime.fromtimestamp(event["time_ns"] / 1e9)
    who = event["name"] if event["node"] is None else f"{event['name']}/{event['node']}"
    if settings.format == "plain":
        when = moment.astimezone().isoformat(timespec="milliseconds")
        cells = (when, event["level"], event["place"], who, event["kind"], event["text"])
        click.echo("\t".join(cells))
        return
    level = render.paint(settings, _STATE_OF_LEVEL.get(event["level"], ""), f"{event['level']:<7}")
    where = f"{event['place']}  " if several else ""
    when = moment.strftime("%Y-%m-%d %H:%M:%S")
    click.echo(f"{when}  {level}  {where}{who:<12}  {event['kind']:<21}  {event['text']}", color=True)
