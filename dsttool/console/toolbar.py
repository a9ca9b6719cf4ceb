"""The prompt, and the line at the bottom: made of a picture, with nothing asked or waited for.

now_ns: the time at which the picture is looked at, by the clock of control.clock.
"""

from collections.abc import Iterator
from typing import Final

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size, format_span
from dsttool.engine.control.picture import WORST_FIRST, Found, Picture
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, JobStatus

_GAP: Final = " | "
_WELL: Final = ("online", "serving", "read_only")


def prompt(picture: Picture, now_ns: int, settings: Settings, used: str, code: int) -> str:
    """What stands before the cursor: the name that is used and its state, and how the last command failed."""
    shown = ""
    if used:
        word = _state_of(picture, now_ns, used)
        shown = f"[{used} {render.paint(settings, word, render.glyph(word) or _spelled(word))}]"
    failed = render.paint(settings, "failed", f"({code})") if code else ""
    return f"dst{shown}{failed}> "


def toolbar(picture: Picture, now_ns: int, settings: Settings, used: str, width: int) -> str:
    """Machines, what is not well and whose it is, jobs with the time they still need, and rates; of which
    what does not fit into `width` is left out.
    """
    parts = [
        ", ".join(sorted(picture.places)),
        *_states(picture, now_ns, settings),
        *_jobs(picture),
        _rates(picture, now_ns, used),
    ]
    text = ""
    for part in filter(None, parts):
        longer = f"{text}{_GAP}{part}" if text else part
        if len(click.unstyle(longer)) <= width:
            text = longer
    return text


def _state_of(picture: Picture, now_ns: int, name: str) -> str:
    for found in _serving(picture, now_ns):
        if found.entry["name"] == name:
            return found.entry["state"]
    for known in picture.daemons():
        state = known.entry.state
        if state and name in (*state["arrays"], *state["exports"]) and not known.entry.ended:
            return "unreachable"
    return "down"


def _states(picture: Picture, now_ns: int, settings: Settings) -> Iterator[str]:
    """What is not well and whose it is, the worst first; else one word for all."""
    whose: dict[str, list[str]] = {}
    for found in _serving(picture, now_ns):
        whose.setdefault(found.entry["state"], []).append(found.entry["name"])
    lost = [place for place, known in picture.places.items() if known.lost_since_ns is not None]
    unheard = (found for found in picture.daemons() if found.entry.stale(now_ns))
    lost += [found.daemon for found in unheard if not found.entry.ended]
    if lost:
        whose["unreachable"] = lost
    unwell = [word for word in whose if word not in _WELL]
    for word in sorted(unwell, key=_badness):
        yield f"{_shown(settings, word)}: {', '.join(whose[word])}"
    if not unwell:
        yield _shown(settings, min(whose, key=_badness)) if whose else "nothing runs"


def _badness(word: str) -> int:
    return WORST_FIRST.index(word) if word in WORST_FIRST else len(WORST_FIRST)


def _shown(settings: Settings, word: str) -> str:
    return render.paint(settings, word, f"{render.glyph(word)} {_spelled(word)}".strip())


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
    return f"{done}, {format_span(max(job['eta_ns'], SECOND))} left"


def _rates(picture: Picture, now_ns: int, used: str) -> str:
    """Bytes a second of the used name, else of all arrays, else of all exports."""
    found = _serving(picture, now_ns)
    arrays = [each for each in found if "layout" in each.entry]
    names = {used} if used else {each.entry["name"] for each in arrays or found}
    read = written = 0
    for daemon in picture.daemons():
        state = daemon.entry.state
        if state is not None and not daemon.entry.stale(now_ns):
            for label in names & state["rates"].keys():
                read += state["rates"][label]["read_bytes"]
                written += state["rates"][label]["written_bytes"]
    return f"R {format_size(read)}/s W {format_size(written)}/s" if found else ""


def _serving(picture: Picture, now_ns: int) -> "list[Found[ArrayStatus] | Found[ExportStatus]]":
    """Arrays and exports of daemons that can be reached, and are heard."""
    served: list[Found[ArrayStatus] | Found[ExportStatus]] = [*picture.arrays(), *picture.exports()]
    return [each for each in served if not picture.places[each.place].daemons[each.daemon].stale(now_ns)]


def _spelled(word: str) -> str:
    return word.replace("_", " ")
