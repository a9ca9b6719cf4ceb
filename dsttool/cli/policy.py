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


@click.command(
    epilog="""\b
Examples:
  dsttool policy show pool
  dsttool policy show pool/n1 --json"""
)
@click.argument("what", metavar="ARRAY[/NODE]")
@shared(waits=True, asks=True)
def show(settings: Settings, what: str) -> None:
    """Show which policy holds for the nodes of an array that runs, or for one, and where each value is set.

    FROM is `default`; `machine`, set in dsttool.toml for all arrays; `array`, set under [policy] in the
    array's file; `address`, in the query of the node's address; or `live`, by `policy set`. Each is
    stronger than those before it. Nodes on this machine, files and memory, have no links, and so no policy.

    The budget of a transaction is resend_timeout x (resends + 1), counted from its first sending and running
    while the link is down, too. An outage within it is not noticed but for the time it takes. What happens
    after it is on_exhausted: with `fail` the request fails, and a mirror goes on without that member; with
    `freeze` everything is held until the member is back, or until `policy set` says fail.
    """
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


@click.command(
    "set",
    epilog="""\b
Examples:
  dsttool policy set pool resend_timeout=500ms resends=2
  dsttool policy set pool/n1 on_exhausted=freeze""",
)
@click.argument("what", metavar="ARRAY[/NODE]")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@shared(waits=True, changes=True, asks=True)
def set_policy(settings: Settings, what: str, pairs: tuple[str, ...]) -> None:
    """Change the policy of all nodes of an array, or of one, while it runs.

    The keys, with what they mean: resend_timeout and resends, which make the budget of a transaction (see
    `policy show`); on_exhausted, fail or freeze; ping_interval and ping_misses, after how long an idle link
    is tried, and after how many missed answers it is dead; connect_timeout, how long one attempt to connect
    may take; backoff_min and backoff_max, the pause between attempts, growing from the one to the other;
    window, how many requests may be unanswered. links, the number of connections, is set in the node's
    address, for it cannot be changed while it is connected. Durations are numbers with ms, s, m or h.

    All values are checked before any is changed, for every node that is meant: all of it holds, or nothing.
    Transactions that are under way get the new budget, counted from their beginning. It holds until the array
    goes down; the answer says where to write it so that it stays.
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
