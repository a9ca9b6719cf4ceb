"""`daemon reload`."""

from collections.abc import Mapping, Sequence

import click

from dsttool.cli import render
from dsttool.cli.asking import ask, gather
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.vocabulary.checkup import ConfigChange, ReloadedDaemon
from dsttool.engine.vocabulary.errors import DsttoolError


@click.command(
    epilog="""\b
Examples:
  dsttool daemon reload pool
  dsttool daemon reload --dry-run
  dsttool daemon reload --json | jq -e 'all(.daemons[]; .restart == [])'"""
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@shared(waits=True, changes=True, asks=True)
def reload(settings: Settings, names: tuple[str, ...]) -> None:
    """Have daemons read their configuration again, and apply what can be applied while they serve.

    Without a NAME all daemons do. What is wrong in a file is said with its line, and then that daemon changes
    nothing. Otherwise it applies at once: where it listens (listen, with its security, key, mode and group),
    rules for addresses (clients that are not admitted any more are cut off), the policies of an array and of
    its nodes, the keys that are authorised, and from dsttool.toml policy, crypto_threads and log_level. It
    names what holds only once it is started again: layout, chunk, nodes and their keys, device, size,
    read_only, links, log_format and the like. What its command line or `policy set` said is stronger than
    the configuration, and stays.

    New places are listened at before old ones are left. If one of them cannot be, nothing is changed at all.
    Clients who came by a place that is left stay, as they were let in, until they leave; rules for addresses
    and `key revoke` cut them off. So do clients stay when the file of a key that is named where it listens
    has another key, by which others come in from now on; one of another kind, private instead of shared,
    needs a restart, and a file that cannot be read any more is something wrong.

    The exit code is 0 once the configuration is read and all of it that can be applied is, whether or not
    something needs a restart: `--json` lists that. One daemon that refuses keeps no other one from it; the
    exit code is that of the first refusal.

    SIGHUP has a daemon do the same, and say it in its log.
    """
    if not names:
        names = tuple(each["name"] for each in gather(settings)["daemons"] if each["state"] != "unreachable")
    reloaded: list[ReloadedDaemon] = []
    failures: dict[str, DsttoolError] = {}
    for name in names:
        try:
            answer: ReloadedDaemon = ask(settings, name, "reload", dry=settings.dry_run)
        except DsttoolError as error:
            failures[name] = error
            continue
        reloaded.append(answer)
        if not settings.dry_run:
            _show(settings, answer)
    if settings.dry_run:
        would(settings, [f"apply {_text(change)}" for each in reloaded for change in each["applied"]])
    elif settings.json:
        render.emit_json(settings, {"schema": "dsttool.reload/1", "daemons": reloaded}, reloaded)
    elif not names:
        render.say(settings, "Nothing is running.")
    _raise(settings, names, failures)


def _raise(settings: Settings, names: Sequence[str], failures: Mapping[str, DsttoolError]) -> None:
    """What kept daemons from reloading; the others have been asked before that is said."""
    if not failures:
        return
    first = next(iter(failures.values()))
    if len(names) == 1:
        raise first
    for name, error in failures.items():
        render.note(settings, f"{name}: {error}")
    summary = DsttoolError(f"{', '.join(failures)} did not take up the configuration.", "See above why.")
    summary.exit_code = first.exit_code
    raise summary


def _show(settings: Settings, answer: ReloadedDaemon) -> None:
    applied, restart = answer["applied"], answer["restart"]
    for remark in answer.get("remarks", ()):  # a daemon of an earlier version has none
        render.note(settings, remark)
    if not applied and not restart:
        render.say(settings, f"{answer['name']}: nothing has changed.")
        return
    render.say(settings, f"{answer['name']} has read its configuration again.")
    _list(settings, "Applied:", applied)
    _list(settings, "Once it is started again:", restart)


def _list(settings: Settings, title: str, changes: Sequence[ConfigChange]) -> None:
    if changes:
        render.say(settings, f"  {title}")
        for change in changes:
            render.say(settings, f"    {_text(change)}")


def _text(change: ConfigChange) -> str:
    of = f"{change['of']}: " if change["of"] else ""
    return f"{of}{change['key']} {change['before']} -> {change['after']}"
