"""The table of actions: what each would send, the equal command line, and what follows from it."""

from typing import Any

import frames
import pytest

from dsttool.cli.failure import run as run_command_line
from dsttool.engine.control.picture import Picture
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.tui import actions, targets
from dsttool.tui.actions import TABLE, Action, Order
from dsttool.tui.subject import Subject
from dsttool.tui.targets import Live, Target


def picture(*arrays: dict[str, Any], exports: tuple[dict[str, Any], ...] = ()) -> Picture:
    known = frames.state([*arrays], [*exports])
    known["daemon"]["serves"] = [each["name"] for each in (*arrays, *exports)]
    shown = Picture()
    speaker = frames.Speaker()
    for update in (speaker.hello(), speaker.snapshot(known)):
        shown.apply(update)
    return shown


def healthy(**more: Any) -> dict[str, Any]:
    members = [frames.member(slot) for slot in range(3)]
    return frames.array(**{"state": "online", "members": members, "jobs": [], **more})


def pin(shown: Picture, kind: str, name: str = "pool", node: str = "") -> Target:
    subject = Subject(kind, "local", "pool", name, node)  # type: ignore[arg-type]
    return next(target for target in targets.pinned(shown, subject) if target.kind == kind)


def named(kind: str, title: str) -> Action:
    return next(action for action in TABLE if (action.kind, action.title) == (kind, title))


def live(shown: Picture, kind: str, name: str = "pool", node: str = "") -> Live:
    return targets.look(shown, pin(shown, kind, name, node))


CHANGE = {"of": "pool", "node": "n1", "key": "resends", "before": "4", "after": "2"}
ANSWERS = {"policy.set": {"changes": [CHANGE]}, "reload": {"applied": [CHANGE], "restart": []}}
EXAMPLES = [
    ("daemon", "Reload", {}, "reload", {}, "daemon reload pool"),
    ("node", "Suspend", {}, "node.suspend", {"node": "n1", "for_ns": None}, "node suspend pool n1"),
    (
        *("node", "Suspend", {"for": "10m"}, "node.suspend"),
        {"node": "n1", "for_ns": 600 * 10**9},
        "node suspend pool n1 --for 10m",
    ),
    ("node", "Resume", {}, "node.resume", {"node": "n1"}, "node resume pool n1"),
    (
        *("node", "Set policy", {"settings": "resends=2 resend_timeout=500ms"}, "policy.set"),
        {"node": "n1", "settings": {"resends": "2", "resend_timeout": "500ms"}},
        "policy set pool/n1 resends=2 resend_timeout=500ms",
    ),
    ("node", "Stop resync", {}, "resync.stop", {"node": "n1"}, "resync stop pool n1"),
    ("node", "Discard content", {}, "node.discard", {"node": "n1"}, "array discard pool n1"),
    ("array", "Start resyncs", {}, "resync.start", {}, "resync start pool"),
    ("array", "Pause resyncs", {}, "resync.pause", {}, "resync pause pool"),
    (
        *("array", "Limit resyncs", {"ceiling": "100M"}, "resync.limit"),
        {"floor": None, "ceiling": 100 << 20},
        "resync limit pool --ceiling 100M",
    ),
    (
        *("array", "Set policy", {"settings": "resends=2"}, "policy.set"),
        {"node": None, "settings": {"resends": "2"}},
        "policy set pool resends=2",
    ),
    ("array", "Take down", {}, "stop", {}, "array down pool"),
    ("daemon", "Set crypto threads", {"threads": "2"}, "crypto.threads", {"threads": 2},
     "daemon tune pool --crypto-threads 2"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "title", "typed", "command", "arguments", "line"), EXAMPLES)
def test_an_action_is_one_message_and_one_command_line(
    kind: str, title: str, typed: dict[str, str], command: str, arguments: dict[str, Any], line: str
) -> None:
    action = named(kind, title)
    target = pin(picture(healthy()), kind, node="n1")
    order = action.order(target, actions.parse(action, typed))
    assert (order.command, order.arguments) == (command, arguments)
    assert actions.command_line(target, order) == f"dsttool {line}"
    assert action.done(target, order, ANSWERS.get(command)).endswith(".")


def test_what_a_daemon_answers_is_said() -> None:
    target = pin(picture(healthy()), "array")
    order = Order("", {}, ())
    policy = named("array", "Set policy").done(target, order, {"changes": [CHANGE]})
    assert policy == "The policy of pool: n1: resends 4 -> 2."
    reload = named("daemon", "Reload")
    answer: dict[str, Any] = {"applied": [], "restart": []}
    assert reload.done(target, order, answer) == "Nothing has changed for pool."
    answer["restart"].append(CHANGE | {"key": "chunk"})
    said = reload.done(target, order, answer)
    assert said == "Applied: nothing. Once it is started again: pool: chunk 4 -> 2."


def test_an_export_is_stopped_with_its_daemon() -> None:
    shown = picture(exports=(frames.export("a"), frames.export("b")))
    action, target = named("export", "Stop"), pin(shown, "export", "a")
    order = action.order(target, {})
    assert (order.command, actions.command_line(target, order)) == ("stop", "dsttool daemon stop pool")
    assert "It serves b as well, which end with it." in action.consequences(targets.look(shown, target), {})


def test_every_action_has_an_example() -> None:
    tried = {(kind, title) for kind, title, *_ in EXAMPLES} | {("export", "Stop")}
    assert tried == {(action.kind, action.title) for action in TABLE}


@pytest.mark.parametrize(("kind", "title", "typed", "command", "arguments", "line"), EXAMPLES)
def test_the_command_line_of_an_action_is_one(
    kind: str,
    title: str,
    typed: dict[str, str],
    command: str,
    arguments: dict[str, Any],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing runs here: only "not running" may be wrong with it, not a word of it."""
    code = run_command_line(line.split())
    assert code == 3, capsys.readouterr().err


def test_the_command_line_of_an_action_elsewhere_names_the_machine() -> None:
    target = Target("node", "ssh://beta", "pool", "0" * 16, "pool", "n1")
    order = named("node", "Resume").order(target, {})
    assert actions.command_line(target, order) == "dsttool --host ssh://beta node resume pool n1"


@pytest.mark.parametrize(
    ("kind", "title", "typed", "says"),
    [
        ("node", "Suspend", {"for": "0s"}, "longer than nothing"),
        ("node", "Suspend", {"for": "soon"}, "'soon'"),
        ("node", "Set policy", {}, "Settings is empty"),
        ("node", "Set policy", {"settings": "resend=2"}, "no key 'resend'"),
        ("node", "Set policy", {"settings": "resends"}, "'resends' sets nothing"),
        ("array", "Limit resyncs", {}, "nothing to set"),
        ("array", "Limit resyncs", {"floor": "fast"}, "'fast'"),
        ("daemon", "Set crypto threads", {"threads": "-1"}, "not a number"),
    ],
)
def test_what_is_typed_wrong_is_said_before_anything_is_sent(
    kind: str, title: str, typed: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        actions.parse(named(kind, title), typed)
    assert says in caught.value.what
    assert caught.value.advice


def test_suspending_says_how_many_good_copies_are_left_and_who_is_connected() -> None:
    shown = picture(healthy(sessions=[frames.session(), frames.session(peer="nbd :4000")]))
    said = named("node", "Suspend").consequences(live(shown, "node", node="n1"), {"for": None})
    assert said == [
        "n1 gets no requests until it is resumed. What is written meanwhile is copied to it afterwards.",
        "80 requests under way on it end first.",
        "Good copies meanwhile: 2 of 3 (n2, n3).",
        "2 clients of pool: nbd :51522, nbd :4000.",
    ]


def test_suspending_the_last_but_one_says_what_hangs_on_the_last() -> None:
    shown = picture(frames.array(members=[frames.member(0), frames.member(1), frames.member(2, "missing")]))
    said = named("node", "Suspend").consequences(live(shown, "node", node="n1"), {"for": None})
    assert "Good copies meanwhile: 1 of 3 (n2). If n2 fails then, pool fails." in said


@pytest.mark.parametrize(
    ("state", "layout", "says"),
    [
        ("in_sync", "mirror", "n1 is the last good copy of pool."),
        ("suspended", "mirror", "n1 is suspended already."),
        ("missing", "mirror", "n1 is missing: there is nothing to suspend."),
        ("in_sync", "stripe", "n1 holds the only copy of its part of the data."),
    ],
)
def test_a_member_that_cannot_be_spared_is_not_suspended(state: str, layout: str, says: str) -> None:
    members = [frames.member(0, state), frames.member(1, "stale")]
    shown = picture(frames.array(layout=layout, members=members))
    assert named("node", "Suspend").refuses(live(shown, "node", node="n1")) == says


def test_only_a_suspended_member_is_resumed_and_what_it_missed_is_named() -> None:
    members = [frames.member(0, "suspended", dirty_bytes=3 << 20), frames.member(1)]
    shown = picture(frames.array(members=members))
    resume = named("node", "Resume")
    assert resume.refuses(live(shown, "node", node="n2")) == "n2 is not suspended."
    assert resume.refuses(live(shown, "node", node="n1")) == ""
    assert any("3 MiB" in line for line in resume.consequences(live(shown, "node", node="n1"), {}))


def test_taking_down_what_somebody_uses_is_severe() -> None:
    down = named("array", "Take down")
    used, idle = picture(healthy(sessions=[frames.session()])), picture(healthy())
    assert down.severe(live(used, "array"))
    assert not down.severe(live(idle, "array"))
    assert "1 client of pool loses it: nbd :51522." in down.consequences(live(used, "array"), {})


def test_resyncs_are_only_started_if_somebody_waits_for_one() -> None:
    start = named("array", "Start resyncs")
    assert start.refuses(live(picture(healthy()), "array")) == "No member of pool waits for a resync."
    assert start.refuses(live(picture(frames.array()), "array")) == ""


def test_what_actions_do_has_room_in_the_menu() -> None:
    assert [action.what for action in TABLE if len(action.what) > 51 or not action.what.endswith(".")] == []


def test_every_sentence_of_every_action_ends_as_one() -> None:
    shown = picture(frames.array(sessions=[frames.session()]), exports=(frames.export("a"),))
    for action in TABLE:
        about = live(shown, action.kind, "a" if action.kind == "export" else "pool", "n2")
        values = {each.name: None for each in action.fields}
        for sentence in action.consequences(about, values):
            assert sentence.endswith(".")
