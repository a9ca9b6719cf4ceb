"""`policy show` and `policy set`: how long transactions may take, and how links are kept alive."""

from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import ask_array, split_node
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.options import POLICY_KEYS, format_option, policy_field
from dsttool.engine.config.units import format_duration
from dsttool.engine.vocabulary.errors import UsageError


@click.command()
@click.argument("what", metavar="ARRAY[/NODE]")
@shared(waits=True, asks=True)
def show(settings: Settings, what: str) -> None:
    """Show which policy holds for the nodes of an array, or for one of them, and where it is set."""
    array, node = split_node(what)
    answer = ask_array(settings, array, "policy.show", node=node)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.policy/1", **answer}, answer["nodes"])
        return
    render.table(
        settings,
        ("NODE", "KEY", "VALUE", "FROM"),
        [
            (each["node"], key, format_option(key, setting["value"]), setting["source"])
            for each in answer["nodes"]
            for key in POLICY_KEYS
            for setting in (each["policy"][policy_field(key)],)
        ],
    )
    if settings.format == "table":
        for each in answer["nodes"]:
            render.say(settings, f"{each['node']}: {_budget(each)}")


@click.command("set")
@click.argument("what", metavar="ARRAY[/NODE]")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@shared(waits=True, changes=True, asks=True)
def set_policy(settings: Settings, what: str, pairs: tuple[str, ...]) -> None:
    """Change the policy of all nodes of an array, or of one, while it runs.

    Everything is checked before anything is changed. It holds until the array goes down.
    """
    array, node = split_node(what)
    if settings.dry_run:
        answer = ask_array(settings, array, "check.policy.set", node=node, settings=_pairs(pairs))
        acts = [
            f"set {c['key']} of {array}/{c['node']}: {c['before']} -> {c['after']}" for c in answer["changes"]
        ]
        would(settings, acts)
        return
    answer = ask_array(settings, array, "policy.set", node=node, settings=_pairs(pairs))
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.policy/1", **answer}, answer["changes"])
        return
    for each in answer["nodes"]:
        changes = [change for change in answer["changes"] if change["node"] == each["node"]]
        said = ", ".join(f"{c['key']} {c['before']} -> {c['after']}" for c in changes)
        render.say(settings, f"{each['node']}: {said or 'as it was'}; {_budget(each)}")
    if answer["file"]:
        render.say(
            settings,
            f"It holds until {array} goes down. To keep it, write it under [policy] in {answer['file']}.",
        )
    else:
        render.say(
            settings, f"It holds until {array} goes down. To keep it, write it into the nodes' addresses."
        )


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"'{word}' sets nothing.", "Write KEY=VALUE, for example resends=2.")
        if key in pairs:
            raise UsageError(f"'{key}' is given twice.", "Give each key once.")
        pairs[key] = value
    return pairs


def _budget(entry: dict[str, Any]) -> str:
    timeout = format_duration(entry["policy"]["resend_timeout_ns"]["value"])
    sends = entry["policy"]["resends"]["value"] + 1
    then = "fails" if entry["policy"]["on_exhausted"]["value"] == "fail" else "is held"
    return f"a transaction {then} after {format_duration(entry['budget_ns'])} ({timeout} x {sends} sends)"
