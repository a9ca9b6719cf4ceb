"""Every action: one table, by kind of object.

An action knows when it makes no sense, what follows from it, the equal command line, and the one control
message that it is. Pure: nothing here asks or sends anything. A new action is a new row.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from dsttool.engine.config.options import POLICY_KEYS, parse_policy
from dsttool.engine.config.units import (
    format_duration,
    format_exact_size,
    format_size,
    parse_duration,
    parse_size,
)
from dsttool.engine.control.place import LOCAL
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError
from dsttool.tui import consequences as follows
from dsttool.tui.targets import Kind, Live, Target

Values = Mapping[str, Any]

# Seconds that a daemon has: most answer at once, some only when requests under way have ended.
_SOON: Final = 10.0
_DRAINED: Final = 60.0


class Field(NamedTuple):
    """Something to type. parse raises UsageError; what is left empty is None, and not parsed."""

    name: str
    label: str
    example: str
    parse: Callable[[str], Any]
    needed: bool = False


class Order(NamedTuple):
    """What is done. words: of the equal command line, after `dsttool`."""

    command: str
    arguments: dict[str, Any]
    words: tuple[str, ...]


def _never(_live: Live) -> str:
    return ""


@dataclass(frozen=True)
class Action:
    """title: a verb; what: a sentence. refuses: why it makes no sense now, "" if it does. severe: whether the
    name has to be typed. relies: the good copies that it counts on; with fewer of them it is asked again.
    done: a sentence afterwards, of what the daemon answered. seconds: how long an answer may take.
    """

    title: str
    kind: Kind
    what: str
    order: Callable[[Target, Values], Order]
    consequences: Callable[[Live, Values], list[str]]
    done: Callable[[Target, Order, Any], str]
    fields: tuple[Field, ...] = ()
    refuses: Callable[[Live], str] = _never
    severe: Callable[[Live], bool] = field(default=lambda _live: False)
    check: Callable[[Values], None] = field(default=lambda _values: None)
    relies: Callable[[Live], frozenset[str]] = follows.on_nothing
    seconds: float = _SOON


def of(kind: Kind) -> list[Action]:
    """The actions on a kind of object, in the order of the table."""
    return [action for action in TABLE if action.kind == kind]


def parse(action: Action, texts: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, as values. Raises UsageError, naming what is wrong."""
    values: dict[str, Any] = {}
    for each in action.fields:
        text = texts.get(each.name, "").strip()
        if not text and each.needed:
            raise UsageError(f"{each.label} is empty.", f"Write for example {each.example}.")
        try:
            values[each.name] = each.parse(text) if text else None
        except DsttoolError as error:
            raise UsageError(f"{each.label}: {error.what}", error.advice) from None
    action.check(values)
    return values


def command_line(target: Target, order: Order) -> str:
    """The equal command line, as a shell takes it."""
    host = () if target.place == LOCAL else ("--host", target.place)
    return shlex.join(("dsttool", *host, *order.words))


def _duration(text: str) -> int:
    duration_ns = parse_duration(text)
    if duration_ns == 0:
        raise UsageError("It must be longer than nothing.", "Write for example 10m.")
    return duration_ns


def _settings(text: str) -> dict[str, str]:
    pairs = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or key in pairs:
            raise UsageError(f"'{word}' sets nothing.", f"Write KEY=VALUE once for each of {_keys()}.")
        pairs[key] = value
    parse_policy(pairs)
    return pairs


def _keys() -> str:
    return ", ".join(POLICY_KEYS)


def _threads(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"'{text}' is not a number of threads.", "Write for example 2; 0 for none.")
    return int(text)


def _some_limit(values: Values) -> None:
    if values["floor"] is None and values["ceiling"] is None:
        raise UsageError("There is nothing to set.", "Give one of the two.")


def _suspend(target: Target, values: Values) -> Order:
    for_ns = values["for"]
    back = ("--for", format_duration(for_ns)) if for_ns else ()
    words = ("node", "suspend", target.name, target.node, *back)
    return Order("node.suspend", {"node": target.node, "for_ns": for_ns}, words)


def _resume(target: Target, _values: Values) -> Order:
    return Order("node.resume", {"node": target.node}, ("node", "resume", target.name, target.node))


def _discard(target: Target, _values: Values) -> Order:
    return Order("node.discard", {"node": target.node}, ("array", "discard", target.name, target.node))


def _resync_stop(target: Target, _values: Values) -> Order:
    return Order("resync.stop", {"node": target.node}, ("resync", "stop", target.name, target.node))


def _policy(target: Target, values: Values) -> Order:
    pairs = values["settings"]
    words = ("policy", "set", target.label, *(f"{key}={value}" for key, value in pairs.items()))
    return Order("policy.set", {"node": target.node or None, "settings": pairs}, words)


def _resync(verb: str) -> Callable[[Target, Values], Order]:
    return lambda target, _values: Order(f"resync.{verb}", {}, ("resync", verb, target.name))


def _limit(target: Target, values: Values) -> Order:
    words: tuple[str, ...] = ("resync", "limit", target.name)
    for name in ("floor", "ceiling"):
        if values[name] is not None:
            words += (f"--{name}", format_exact_size(values[name]))
    return Order("resync.limit", {"floor": values["floor"], "ceiling": values["ceiling"]}, words)


def _down(target: Target, _values: Values) -> Order:
    return Order("stop", {}, ("array", "down", target.name))


def _stop(target: Target, _values: Values) -> Order:
    return Order("stop", {}, ("daemon", "stop", target.daemon))


def _crypto(target: Target, values: Values) -> Order:
    threads = values["threads"]
    words = ("daemon", "tune", target.daemon, "--crypto-threads", str(threads))
    return Order("crypto.threads", {"threads": threads}, words)


def _speeds(target: Target, order: Order, _answer: Any) -> str:
    floor, ceiling = order.arguments["floor"], order.arguments["ceiling"]
    said = [] if floor is None else [f"at least {format_size(floor)}/s"]
    said += [] if ceiling is None else [f"at most {format_size(ceiling)}/s" if ceiling else "without a limit"]
    return f"Resyncs of {target.name} copy {' and '.join(said)}."


def _policy_changed(target: Target, _order: Order, answer: Any) -> str:
    changes = [
        f"{each['node']}: {each['key']} {each['before']} -> {each['after']}" for each in answer["changes"]
    ]
    return f"The policy of {target.label}: {', '.join(changes) or 'it was so already'}."


def _reload(target: Target, _values: Values) -> Order:
    return Order("reload", {}, ("daemon", "reload", target.daemon))


def _reloaded(target: Target, _order: Order, answer: Any) -> str:
    applied, restart = answer["applied"], answer["restart"]
    if not applied and not restart:
        return f"Nothing has changed for {target.daemon}."
    said = f"Applied: {_listed(applied)}."
    return f"{said} Once it is started again: {_listed(restart)}." if restart else said


def _listed(changes: Sequence[Mapping[str, Any]]) -> str:
    each = (f"{c['of'] + ': ' if c['of'] else ''}{c['key']} {c['before']} -> {c['after']}" for c in changes)
    return ", ".join(each) or "nothing"


_POLICY_FIELD: Final = Field("settings", "Settings", "resends=2 resend_timeout=500ms", _settings, needed=True)

TABLE: Final[Sequence[Action]] = (
    Action(
        "Suspend",
        "node",
        "Give it no requests until it is resumed.",
        _suspend,
        follows.of_suspend,
        lambda target, _order, _answer: f"{target.node} of {target.name} is suspended.",
        fields=(Field("for", "Resume it after (empty: never by itself)", "10m", _duration),),
        refuses=follows.no_suspend,
        relies=follows.on_the_others,
        seconds=_DRAINED,
    ),
    Action(
        "Resume",
        "node",
        "Give it requests, and copy to it what it missed.",
        _resume,
        follows.of_resume,
        lambda target, _order, _answer: f"{target.node} of {target.name} is resumed.",
        refuses=follows.no_resume,
    ),
    Action(
        "Stop resync",
        "node",
        "Neither copies nor writes until they are started.",
        _resync_stop,
        follows.of_resync_stop,
        lambda target, _order, _answer: f"The resync of {target.label} is stopped.",
        refuses=follows.not_resynced,
        relies=follows.on_the_others,
        seconds=_DRAINED,
    ),
    Action(
        "Discard content",
        "node",
        "Overwrite all of it with what the others hold.",
        _discard,
        follows.of_discard,
        lambda target, _order, _answer: (
            f"{target.node} of {target.name} is void, and is refilled from the others."
        ),
        refuses=follows.no_discard,
        relies=follows.on_the_others,
        severe=follows.always,
        seconds=_DRAINED,
    ),
    Action(
        "Set policy",
        "node",
        "Budgets of its transactions, and how links live.",
        _policy,
        follows.of_policy,
        _policy_changed,
        fields=(_POLICY_FIELD,),
        refuses=follows.no_link,
    ),
    Action(
        "Start resyncs",
        "array",
        "Go on with what was paused, stopped or failed.",
        _resync("start"),
        follows.of_resync_start,
        lambda target, _order, _answer: f"Resyncs of {target.name} go on.",
        refuses=follows.nothing_missed,
    ),
    Action(
        "Pause resyncs",
        "array",
        "Copy nothing until they are started again.",
        _resync("pause"),
        follows.of_resync_pause,
        lambda target, _order, _answer: f"Resyncs of {target.name} are paused.",
    ),
    Action(
        "Limit resyncs",
        "array",
        "How fast they may be.",
        _limit,
        follows.of_resync_limit,
        _speeds,
        fields=(
            Field("floor", "However busy it is, at least, per second", "1M", parse_size),
            Field("ceiling", "At most, per second (0: no limit)", "100M", parse_size),
        ),
        check=_some_limit,
    ),
    Action(
        "Set policy",
        "array",
        "The same, for all members.",
        _policy,
        follows.of_policy,
        _policy_changed,
        fields=(_POLICY_FIELD,),
    ),
    Action(
        "Take down",
        "array",
        "End it cleanly.",
        _down,
        follows.of_down,
        lambda target, _order, _answer: f"{target.name} is ending.",
        severe=follows.has_clients,
    ),
    Action(
        "Stop",
        "export",
        "End its daemon cleanly.",
        _stop,
        follows.of_stop,
        lambda target, _order, _answer: f"The daemon {target.daemon} is ending.",
        severe=follows.has_clients,
    ),
    Action(
        "Reload",
        "daemon",
        "Read its configuration again.",
        _reload,
        follows.of_reload,
        _reloaded,
    ),
    Action(
        "Set crypto threads",
        "daemon",
        "How many threads seal and open large records.",
        _crypto,
        follows.of_crypto,
        lambda target, order, _answer: (
            f"{target.name} has {order.arguments['threads']} threads for large sealed records."
        ),
        fields=(Field("threads", "Threads (0: all on the main thread)", "2", _threads, needed=True),),
    ),
)
