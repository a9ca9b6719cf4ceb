"""`tx list` and `tx show`: what is under way to other machines, and how long it may still take."""

from collections.abc import Sequence
from typing import Any, Final

import click

from dsttool.cli import render
from dsttool.cli.asking import ask, place, split_node
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_size
from dsttool.engine.control import client
from dsttool.engine.vocabulary import tx_filter
from dsttool.engine.vocabulary.errors import NotFound, TimedOut, Unreachable, UsageError
from dsttool.engine.vocabulary.status import TransactionStatus

MEANING: Final = {
    "queued": "it waits for room in the window, or for the link",
    "held": "an overlapping one before it has no answer yet",
    "in_flight": "it was sent, and its answer has not come yet",
    "resend": "its link was lost before its answer came; it is sent again once a link is up",
    "exhausted": "its budget ended without an answer, and the error has gone up; its extent stays locked "
    "until the server is known not to run it any more",
    "frozen": "its budget ended without an answer, and it is held until somebody acts (on_exhausted=freeze)",
}


@click.command(
    "list",
    epilog="""\b
Examples:
  dsttool tx list pool
  dsttool tx list pool/n3 --filter 'state:resend age>1s'
  dsttool tx list --filter '-op:read budget<2s' -o jsonl
""",
)
@click.argument("what", required=False, metavar="[NAME[/NODE]]")
@click.option(
    "--filter",
    "filter_",
    default="",
    metavar="EXPR",
    help="Only those for which every word of EXPR holds, for example 'state:resend age>1s'.",
)
@shared(waits=True, asks=True)
def list_transactions(settings: Settings, what: str | None, filter_: str) -> None:
    """List transactions that have no answer yet, the oldest first: the first 200, and totals by state.

    The words of --filter are FIELD:VALUE for state, node, op, flags, name and client (VALUE may have * and
    ?), FIELD>VALUE, <, >= or <= for age, length, attempts and budget, id:NUMBER, or any part of a node's, a
    client's or a state's name. A word after a - must not hold. The daemons evaluate it.
    """
    tx_filter.parse(filter_)
    if what is None:
        answers = _of_all(settings, filter=filter_)
    else:
        name, node = split_node(what)
        answers = [ask(settings, name, "tx.list", name=name, node=node, filter=filter_)]
    oldest: list[TransactionStatus] = [each for answer in answers for each in answer["transactions"]]
    oldest.sort(key=lambda each: -each["age_ns"])
    states: dict[str, int] = {}
    for answer in answers:
        for state, count in answer["states"].items():
            states[state] = states.get(state, 0) + count
    total = sum(states.values())
    if settings.json:
        shown = {"schema": "dsttool.transactions/1", "total": total, "states": states, "transactions": oldest}
        render.emit_json(settings, shown, oldest)
        return
    if not oldest and settings.format == "table":
        render.say(settings, "No transaction waits for an answer.")
        return
    _table(settings, oldest)
    if settings.format == "table":
        totals = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
        more = f"; shown are the oldest {len(oldest)}" if total > len(oldest) else ""
        render.say(settings, f"{totals}{more}")


@click.command("show")
@click.argument("what", metavar="NAME[/NODE]")
@click.argument("id_", metavar="ID")
@shared(waits=True, asks=True)
def show(settings: Settings, what: str, id_: str) -> None:
    """Show one transaction. Each node numbers its own, so that several may have the same ID.

    Its state, and what that means; what was asked for; how long ago it began, how often it was sent, when
    it is sent again, and how long until it fails. One that has its answer is not listed any more (exit 3).
    """
    name, node = split_node(what)
    if not (id_.isascii() and id_.isdigit() and 0 < len(id_) < 20):
        raise UsageError(f"'{id_}' is no number of a transaction.", f"`dsttool tx list {name}` shows them.")
    answer = ask(settings, name, "tx.list", name=name, node=node, id=int(id_))
    found: list[TransactionStatus] = answer["transactions"]
    if not found:
        raise NotFound(
            f"{what} has no transaction {id_} without an answer.",
            f"It may have got its answer; `dsttool tx list {what}` lists the others.",
        )
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.transactions/1", "transactions": found}, found)
        return
    if settings.format == "plain":
        _table(settings, found)
        return
    for each in found:
        for word, value in _described(settings, each):
            click.echo(f"{word:<12}{value}", color=True)


def _of_all(settings: Settings, **arguments: Any) -> list[dict[str, Any]]:
    """The answers of everything that runs; what does not answer is left out, with a note."""
    timeout = settings.timeout or client.ANSWER_TIMEOUT
    answers: list[dict[str, Any]] = []
    with place(settings) as chosen:
        for name in chosen.daemons():
            try:
                with chosen.connect(name, timeout) as daemon:
                    for served in daemon.call("hello")["serves"]:
                        answers.append(daemon.call("tx.list", name=served, **arguments))
            except NotFound:
                continue  # It has just ended.
            except (Unreachable, TimedOut) as error:
                render.note(settings, str(error))
    return answers


def _table(settings: Settings, transactions: Sequence[TransactionStatus]) -> None:
    render.table(
        settings,
        ("TX", "OP", "FLAGS", "OFFSET", "LENGTH", "NODE", "STATE", "AGE", "TRY", "NEXT", "BUDGET"),
        [
            (
                str(each["id"]),
                each["op"],
                ",".join(each["flags"]) or render.UNKNOWN,
                render.figure(settings, each["offset"], hex),
                render.size(settings, each["length"]),
                each["node"],
                render.state(settings, each["state"]),
                render.figure(settings, each["age_ns"], _seconds),
                tries(each),
                render.figure(settings, each["next_resend_ns"], _seconds),
                render.figure(settings, each["budget_left_ns"], _seconds),
            )
            for each in transactions
        ],
        right=("TX", "OFFSET", "LENGTH", "AGE", "TRY", "NEXT", "BUDGET"),
    )


def tries(each: TransactionStatus) -> str:
    """How often it was sent, and how often its budget counts on: "3/5"."""
    most = each.get("attempts_max")
    return f"{each['attempts']}/{most}" if most else str(each["attempts"])


def sent(each: TransactionStatus) -> str:
    """The same in words."""
    most = each.get("attempts_max")
    times = "once" if each["attempts"] == 1 else f"{each['attempts']} times"
    return f"{times}; its budget allows for {most}" if most else times


def _described(settings: Settings, each: TransactionStatus) -> list[tuple[str, str]]:
    state = each["state"]
    return [
        ("transaction", str(each["id"])),
        ("node", each["node"]),
        ("state", f"{render.state(settings, state)}: {MEANING.get(state, state)}"),
        ("request", " ".join((each["op"], *each["flags"]))),
        ("extent", f"{format_size(each['length'])} at {each['offset']:#x}"),
        ("age", render.figure(settings, each["age_ns"], _seconds)),
        ("sent", sent(each)),
        ("next resend", render.figure(settings, each["next_resend_ns"], _seconds)),
        ("budget left", render.figure(settings, each["budget_left_ns"], _seconds)),
    ]


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.3f} s"
