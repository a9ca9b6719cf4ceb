"""The prompt, and the line at the bottom: made of a picture, with nothing asked or waited for."""

from collections.abc import Iterator, Sequence
from typing import Final

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_duration, format_size
from dsttool.engine.control.picture import Found, Picture
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, JobStatus

_GAP: Final = " | "
_WELL: Final = ("online", "serving", "read_only")


def prompt(picture: Picture, settings: Settings, used: str, code: int) -> str:
    """What stands before the cursor: the name that is used and its state, and how the last command failed."""
    shown = ""
    if used:
        word = _state_of(picture, used)
        shown = f"[{used} {render.paint(settings, word, render.glyph(word) or _spelled(word))}]"
    failed = render.paint(settings, "failed", f"({code})") if code else ""
    return f"dst{shown}{failed}> "


def toolbar(picture: Picture, settings: Settings, used: str, width: int) -> str:
    """Machines, the worst state and whose it is, jobs with the time they still need, and rates; what does not
    fit into `width` is left out.
    """
    parts = [
        ", ".join(sorted(picture.places)),
        _worst(picture, settings),
        *_jobs(picture),
        _rates(picture, used),
    ]
    text = ""
    for part in filter(None, parts):
        longer = f"{text}{_GAP}{part}" if text else part
        if len(click.unstyle(longer)) <= width:
            text = longer
    return text


def _state_of(picture: Picture, name: str) -> str:
    for found in _served(picture):
        if found.entry["name"] == name:
            daemon = picture.places[found.place].daemons[found.daemon]
            if daemon.lost_since_ns is None:
                return found.entry["state"]
            return "down" if daemon.ended else "unreachable"
    return "down"


def _worst(picture: Picture, settings: Settings) -> str:
    word = picture.worst()
    if not word:
        return "nothing runs"
    named = (
        []
        if word in _WELL
        else [each.entry["name"] for each in _served(picture) if each.entry["state"] == word]
    )
    lost = sorted(
        each.daemon
        for each in picture.daemons()
        if each.entry.lost_since_ns is not None and not each.entry.ended
    )
    whose = ", ".join(lost if word == "unreachable" else named)
    shown = render.paint(settings, word, f"{render.glyph(word)} {_spelled(word)}".strip())
    return f"{shown}: {whose}" if whose else shown


def _jobs(picture: Picture) -> Iterator[str]:
    for found in picture.arrays():
        for job in found.entry["jobs"]:
            yield f"{job['kind']} of {found.entry['name']} {_progress(job)}"


def _progress(job: JobStatus) -> str:
    if job["state"] != "running":
        return _spelled(job["state"])
    done = (
        f"{100 * job['done_bytes'] // job['total_bytes']} %"
        if job["total_bytes"]
        else format_size(job["done_bytes"])
    )
    if job["eta_ns"] is None:
        return done
    return f"{done}, {format_duration(max(1, job['eta_ns'] // SECOND) * SECOND)} left"


def _rates(picture: Picture, used: str) -> str:
    """Bytes a second of the used name, else of all arrays, else of all exports."""
    served: Sequence[Found[ArrayStatus] | Found[ExportStatus]] = picture.arrays() or picture.exports()
    names = {used} if used else {found.entry["name"] for found in served}
    read = written = 0
    for found in picture.daemons():
        state = found.entry.state
        if state is not None and found.entry.lost_since_ns is None:
            for label in names & state["rates"].keys():
                read += state["rates"][label]["read_bytes"]
                written += state["rates"][label]["written_bytes"]
    return f"R {format_size(read)}/s W {format_size(written)}/s" if served else ""


def _served(picture: Picture) -> "list[Found[ArrayStatus] | Found[ExportStatus]]":
    return [*picture.arrays(), *picture.exports()]


def _spelled(word: str) -> str:
    return word.replace("_", " ")
