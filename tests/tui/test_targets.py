"""What an action is about stays what it was, or is refused with a sentence."""

import frames
import pytest

from dsttool.engine.control.picture import Picture
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, Unreachable
from dsttool.tui import targets
from dsttool.tui.subject import Subject
from dsttool.tui.targets import Target


def shown(*arrays: dict[str, object]) -> tuple[Picture, frames.Speaker]:
    speaker, picture = frames.Speaker(), Picture()
    picture.apply(speaker.hello())
    picture.apply(speaker.snapshot(frames.state([*arrays] or None, [frames.export()])))
    return picture, speaker


def pinned(picture: Picture, kind: str, name: str = "pool", node: str = "") -> list[Target]:
    return targets.pinned(picture, Subject(kind, "local", "pool", name, node))  # type: ignore[arg-type]


def test_a_row_stands_for_itself_and_for_what_it_is_part_of() -> None:
    picture, _ = shown()
    assert [target.label for target in pinned(picture, "node", node="n2")] == [
        "pool/n2",
        "pool",
        "daemon pool",
    ]
    assert [target.label for target in pinned(picture, "link", node="n2")] == [
        "pool/n2",
        "pool",
        "daemon pool",
    ]
    assert pinned(picture, "transaction", node="n3")[0].label == "pool/n3"
    assert [target.label for target in pinned(picture, "array")] == ["pool", "daemon pool"]
    assert [target.label for target in pinned(picture, "export", "scratch")] == ["scratch", "daemon pool"]
    assert [target.label for target in pinned(picture, "daemon", "")] == ["daemon pool"]


def test_a_message_says_which_start_and_which_good_copies_it_is_meant_for() -> None:
    picture, _ = shown()
    node, array, daemon = pinned(picture, "node", node="n2")
    assert node.expect({"n3", "n1"}) == {"instance": frames.INSTANCE, "name": "pool", "good": ["n1", "n3"]}
    assert array.expect(()) == {"instance": frames.INSTANCE, "name": "pool"}
    assert daemon.expect(()) == {"instance": frames.INSTANCE}


def test_nothing_is_pinned_of_what_is_lost() -> None:
    picture, speaker = shown()
    picture.apply(speaker.lost())
    assert pinned(picture, "array") == []


def refusal(picture: Picture, target: Target) -> DsttoolError:
    with pytest.raises(DsttoolError) as caught:
        targets.look(picture, target)
    assert caught.value.advice
    return caught.value


def test_a_daemon_that_was_started_again_is_another_one() -> None:
    picture, speaker = shown()
    target = pinned(picture, "array")[0]
    for update in (speaker.lost(), speaker.hello("ffffffffffffffff"), speaker.snapshot()):
        picture.apply(update)
    assert isinstance(refusal(picture, target), Conflict)


def test_a_member_in_another_state_is_the_same_member() -> None:
    picture, speaker = shown()
    target = pinned(picture, "node", node="n1")[0]
    picture.apply(speaker.delta((["arrays", "pool", "generation"], 8)))
    assert targets.look(picture, target).target is target


def test_what_is_gone_is_not_found() -> None:
    picture, speaker = shown()
    node, array, _ = pinned(picture, "node", node="n3")
    picture.apply(speaker.delta((["arrays", "pool", "members"], [frames.member(0)])))
    assert isinstance(refusal(picture, node), NotFound)
    picture.apply(speaker.delta(removals=(["arrays", "pool"],)))
    assert isinstance(refusal(picture, array), NotFound)


def test_a_daemon_that_is_lost_is_said_to_be_with_the_reason() -> None:
    picture, speaker = shown()
    target = pinned(picture, "array")[0]
    picture.apply(speaker.lost("connection refused"))
    error = refusal(picture, target)
    assert isinstance(error, Unreachable)
    assert "connection refused" in error.what


def test_a_daemon_that_said_goodbye_has_ended() -> None:
    picture, speaker = shown()
    target = pinned(picture, "array")[0]
    picture.apply(speaker.bye())
    assert "has ended" in refusal(picture, target).what
