"""Connecting over DST/2, staying alive, and coming back: with servers that say what they are told."""

import errno
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import (
    Conflict,
    DsttoolError,
    Forbidden,
    NotFound,
    ProtocolError,
    Unreachable,
)
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from dsttool.engine.wire import dst_hello, dst_preface, dst_records
from support.array_bench import read, write
from support.dst_hall import DstHall
from support.dst_strangers import WELCOME, RawServer, Talker, record, replies, reply, requests_of
from support.faulty_device import FaultyDevice

QUICK = Policy(backoff_min_ns=2 * MS, backoff_max_ns=20 * MS, connect_timeout_ns=5 * SECOND)
PING, PONG = dst_records.PING, dst_records.PONG


@pytest.fixture
def hall() -> Iterator[DstHall]:
    with DstHall() as made:
        yield made


@pytest.fixture
def server(hall: DstHall) -> Iterator[RawServer]:
    with RawServer(hall) as made:
        yield made


class Trial:
    """A node that connects to an endpoint; `outcome` is what `ready` was called with."""

    def __init__(self, hall: DstHall, endpoint: Endpoint, policy: Policy = QUICK, **options: Any) -> None:
        self.hall = hall
        self.node = DstNode(hall.reactor, "n0", endpoint, "disk", policy=policy, **options)
        hall.nodes.append(self.node)
        self.outcomes: list[DsttoolError | None] = []
        self.node.connect(self.outcomes.append)

    @property
    def outcome(self) -> DsttoolError | None:
        self.hall.until(lambda: bool(self.outcomes))
        (outcome,) = self.outcomes
        return outcome


def connected(hall: DstHall, server: RawServer, policy: Policy = QUICK) -> tuple[DstNode, Talker]:
    trial = Trial(hall, server.endpoint, policy)
    talker = server.welcome()
    assert trial.outcome is None
    return trial.node, talker


def refuse(talker: Talker, code: int, words: str) -> None:
    talker.say(dst_preface.server_preface(0, 0))
    talker.say(record(dst_records.REFUSAL, dst_hello.pack_reason(code, words)))


# -- the first connect ---------------------------------------------------------------------------------


def test_a_node_is_what_its_welcome_says(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint)
    names = frozenset(["flush", "trim", "rotational"])
    server.welcome(replace(WELCOME, size=4096 * 77, block_min=512, payload_max=1 << 20, capabilities=names))
    assert trial.outcome is None
    can = trial.node.capabilities
    assert (can.size, can.block_min, can.payload_max, can.read_only) == (4096 * 77, 512, 1 << 20, False)
    assert (can.flush, can.fua, can.trim, can.write_zeroes, can.rotational) == (
        True,
        False,
        True,
        False,
        True,
    )
    assert trial.node.identity == WELCOME.export_id
    assert trial.node.up
    assert trial.node.status()["link"]["state"] == "up"


def test_nobody_there_is_an_error_at_once_and_not_tried_again(hall: DstHall) -> None:
    trial = Trial(hall, Endpoint("unix", path=str(hall.folder / "nobody")))
    assert isinstance(trial.outcome, Unreachable)
    hall.pass_time(30 * MS)
    assert len(trial.outcomes) == 1
    assert trial.node.failure is trial.outcome


def test_a_server_that_never_answers_is_an_error_in_time(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint, replace(QUICK, connect_timeout_ns=30 * MS))
    server.accept()
    assert isinstance(trial.outcome, Unreachable)
    assert "in time" in str(trial.outcome)


def test_a_server_that_answers_only_half_is_an_error_in_time(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint, replace(QUICK, connect_timeout_ns=30 * MS))
    talker, _ = server.accept_hello()
    talker.say(dst_preface.server_preface(0, 0) + record(dst_records.WELCOME, WELCOME.pack())[:-1])
    assert isinstance(trial.outcome, Unreachable)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak DST"),
        (dst_preface.server_preface(0, dst_preface.REFUSED_VERSION), "version 2"),
        (dst_preface.server_preface(0, dst_preface.REFUSED_BUSY), "as many connections"),
        (dst_preface.server_preface(1, 0), "another security"),
        (dst_preface.server_preface(0, 0) + b"\xff" * 100, "breaks the DST protocol"),
        (dst_preface.server_preface(0, 0) + record(dst_records.WELCOME, bytes(84)), "cannot be"),
        (dst_preface.server_preface(0, 0) + record(PONG, bytes(8)), "must not"),
        (dst_preface.server_preface(0, 0) + replies(reply(1)), "must not"),
        (dst_preface.server_preface(0, 0) + record(dst_records.HELLO, bytes(66)), "must not"),
    ],
)
def test_a_server_that_cannot_be_ours_is_a_clear_error(
    hall: DstHall, server: RawServer, answer: bytes, words: str
) -> None:
    trial = Trial(hall, server.endpoint)
    talker, _ = server.accept_hello()
    talker.say(answer)
    assert isinstance(trial.outcome, ProtocolError)
    assert words in str(trial.outcome)
    assert talker.is_closed()


@pytest.mark.parametrize(
    ("code", "kind"), [(dst_hello.REFUSED_EXPORT, NotFound), (dst_hello.REFUSED_ACCESS, Forbidden)]
)
def test_a_refusal_is_the_error_it_names(
    hall: DstHall, server: RawServer, code: int, kind: type[DsttoolError]
) -> None:
    trial = Trial(hall, server.endpoint)
    talker, _ = server.accept_hello()
    refuse(talker, code, "Not today.")
    assert type(trial.outcome) is kind
    assert trial.outcome.what == "Not today."


def test_a_grant_of_less_than_was_wanted_is_refused(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint)
    server.welcome(replace(WELCOME, access=dst_hello.READ_ONLY))
    assert isinstance(trial.outcome, Conflict)
    assert "read-only" in str(trial.outcome)


def test_who_asked_for_read_only_gets_a_read_only_device(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint, read_only=True)
    talker, hello = server.accept_hello()
    assert hello.access == dst_hello.READ_ONLY
    talker.say(dst_preface.server_preface(0, 0))
    talker.say(record(dst_records.WELCOME, replace(WELCOME, access=dst_hello.READ_ONLY).pack()))
    assert trial.outcome is None
    assert trial.node.capabilities.read_only


def test_a_handshake_in_single_bytes_is_understood(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint)
    talker, _ = server.accept_hello()
    for byte in dst_preface.server_preface(0, 0) + record(dst_records.WELCOME, WELCOME.pack()):
        talker.say(bytes([byte]))
        hall.reactor.post(lambda: None)
        hall.reactor.turn()
    assert trial.outcome is None


# -- liveness ------------------------------------------------------------------------------------------


PINGING = replace(QUICK, ping_interval_ns=10 * MS, ping_misses=3)


def test_an_idle_link_is_pinged_and_the_pong_gives_its_round_trip(hall: DstHall, server: RawServer) -> None:
    node, talker = connected(hall, server, PINGING)
    for _ in range(3):
        kind, token = talker.record()
        assert kind == PING
        talker.say(record(PONG, token))
    hall.until(lambda: node.rtt_ns is not None and node.rtt_ns < SECOND)
    assert node.up


def test_a_silent_server_is_given_up_after_its_missed_pongs_and_not_before(
    hall: DstHall, server: RawServer
) -> None:
    node, talker = connected(hall, server, PINGING)
    since = hall.reactor.now
    hall.until(lambda: not node.up)
    took = hall.reactor.now - since
    assert 3 * 10 * MS <= took < 2 * SECOND
    assert [talker.record()[0] for _ in range(3)] == [PING] * 3
    assert talker.is_closed()


def test_a_ping_of_the_server_is_answered(hall: DstHall, server: RawServer) -> None:
    _, talker = connected(hall, server)
    talker.say(record(dst_records.PING, b"pingping"))
    assert talker.record() == (dst_records.PONG, b"pingping")


def test_a_link_that_receives_is_not_given_up(hall: DstHall, server: RawServer) -> None:
    node, talker = connected(hall, server, replace(PINGING, ping_interval_ns=SECOND))
    for _ in range(4):
        hall.pass_time(300 * MS)
        talker.say(record(dst_records.NOTICE, dst_hello.pack_reason(0, "still here")))
    assert node.up
    assert talker.is_silent(), "a link that is not idle is not pinged"


def test_a_link_with_requests_but_no_answers_is_pinged(hall: DstHall, server: RawServer) -> None:
    """A slow request is no reason to give a link up, silence is."""
    node, talker = connected(hall, server, PINGING)
    slow = read(0, 512)
    node.submit([slow])
    assert requests_of(talker) == [(1, READ, 0, 512)]
    for _ in range(6):
        kind, token = talker.record()
        assert kind == PING
        talker.say(record(PONG, token))
    talker.say(replies(reply(1, length=512), payload=bytes(512)))
    hall.wait(slow)
    assert slow.error == 0


# -- coming back ---------------------------------------------------------------------------------------


def test_a_reconnect_is_the_same_session_with_a_later_epoch_and_its_floor(
    hall: DstHall, server: RawServer
) -> None:
    trial = Trial(hall, server.endpoint)
    talker, first = server.accept_hello()
    talker.say(dst_preface.server_preface(0, 0) + record(dst_records.WELCOME, WELCOME.pack()))
    assert trial.outcome is None
    trial.node.submit([read(0, 1), read(1, 1)])
    requests_of(talker, 2)
    talker.say(replies(reply(1, length=1), payload=b"x"))
    hall.until(lambda: trial.node.in_flight == 1)
    talker.close()
    _, second = server.accept_hello()
    assert second.session == first.session
    assert second.epoch > first.epoch
    assert (first.floor, second.floor) == (1, 2)


def test_every_attempt_has_a_later_epoch(hall: DstHall, server: RawServer) -> None:
    """A hello that was delayed on its way can be told from the one that came after it."""
    _, talker = connected(hall, server)
    talker.close()
    epochs = []
    for _ in range(3):
        talker, hello = server.accept_hello()
        epochs.append(hello.epoch)
        talker.close()
    assert epochs == sorted(set(epochs))


def test_what_has_no_answer_is_sent_again_in_its_order_with_its_id(hall: DstHall, server: RawServer) -> None:
    node, talker = connected(hall, server)
    asked = [write(at * 512, bytes([at]) * 512) for at in range(4)]
    node.submit(asked)
    before = requests_of(talker, 4)
    talker.say(replies(reply(2)))
    hall.wait(asked[1])
    talker.close()
    held = write(5 * 512, bytes(512))
    hall.until(lambda: not node.up)
    node.submit([held])
    talker = server.welcome()
    again = requests_of(talker, 4)
    assert again == [before[0], before[2], before[3], (5, WRITE, 5 * 512, 512)]
    talker.say(replies(*[reply(id_) for id_, *_ in again]))
    hall.wait(*asked, held)
    assert {request.error for request in (*asked, held)} == {0}
    assert node.status()["resends"] == 3


def test_attempts_follow_the_backoff_for_as_long_as_it_takes(hall: DstHall, server: RawServer) -> None:
    hall.reactor.random = lambda: 0.5
    policy = replace(QUICK, backoff_min_ns=8 * MS, backoff_max_ns=32 * MS)
    node, talker = connected(hall, server, policy)
    times = [hall.reactor.now]
    talker.close()
    for _ in range(6):
        talker = server.accept()
        times.append(hall.reactor.now)
        talker.close()
    gaps = [(later - earlier) // MS for earlier, later in itertools.pairwise(times)]
    for gap, least in zip(gaps, [6, 12, 24, 24, 24, 24]):
        assert gap >= least
    assert not node.up


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_an_outage_is_logged_once_for_each_reason(
    hall: DstHall, server: RawServer, caplog: pytest.LogCaptureFixture
) -> None:
    node, talker = connected(hall, server)
    talker.close()
    for reason in ("There is no export named 'disk'.",) * 3 + ("The disk is being repaired.",) * 3:
        talker, _ = server.accept_hello()
        refuse(talker, dst_hello.REFUSED_EXPORT, reason)
    talker = server.welcome()
    hall.until(lambda: node.up)
    lost, first, second = warnings_of(caplog)
    assert all(each.startswith("n0: ") for each in (lost, first, second))
    assert ("no export named" in first, "being repaired" in second) == (True, True)


def test_the_next_outage_is_logged_again_though_its_reason_is_the_same(
    hall: DstHall, server: RawServer, caplog: pytest.LogCaptureFixture
) -> None:
    node, talker = connected(hall, server)
    for _ in range(3):
        talker.close()
        hall.until(lambda: not node.up)
        talker = server.welcome()
        hall.until(lambda: node.up)
    found = warnings_of(caplog)
    assert (len(found), len(set(found))) == (3, 1)


def test_a_server_that_has_the_same_to_say_again_and_again_fills_no_log(
    hall: DstHall, server: RawServer, caplog: pytest.LogCaptureFixture
) -> None:
    node, talker = connected(hall, server)
    for number in range(100):
        talker.say(record(dst_records.NOTICE, dst_hello.pack_reason(0, f"notice {number}")))
    talker.close()
    hall.until(lambda: not node.up)
    notices = [line for line in warnings_of(caplog) if "notice" in line]
    assert len(notices) == limits.LOG_LINES_PER_PERIOD
    node.close(lambda: None)
    assert "90 more lines like these (notice)" in warnings_of(caplog)[-1]


def test_a_welcome_starts_the_backoff_anew(hall: DstHall, server: RawServer) -> None:
    hall.reactor.random = lambda: 0.0
    policy = replace(QUICK, backoff_min_ns=2 * MS, backoff_max_ns=10 * SECOND)
    node, talker = connected(hall, server, policy)
    for _ in range(15):  # the fifteenth step alone would be a minute
        talker.close()
        hall.until(lambda: not node.up)
        talker = server.welcome()
        hall.until(lambda: node.up)


def test_an_export_that_is_not_there_yet_is_waited_for(hall: DstHall, server: RawServer) -> None:
    """The daemon of the other side may listen before it serves this export again."""
    node, talker = connected(hall, server)
    held = write(0, b"x" * 512)
    talker.close()
    hall.until(lambda: not node.up)
    node.submit([held])
    talker, _ = server.accept_hello()
    refuse(talker, dst_hello.REFUSED_EXPORT, "There is no export named 'disk'.")
    talker = server.welcome()
    assert requests_of(talker) == [(1, WRITE, 0, 512)]
    talker.say(replies(reply(1)))
    hall.wait(held)
    assert held.error == 0


CHANGED = {
    "smaller": replace(WELCOME, size=WELCOME.size // 2),
    "larger": replace(WELCOME, size=WELCOME.size * 2),
    "swapped": replace(WELCOME, export_id=bytes(range(16))),
    "read-only": replace(WELCOME, access=dst_hello.READ_ONLY),
    "of other blocks": replace(WELCOME, block_min=4096),
    "of shorter requests": replace(WELCOME, payload_max=1 << 20),
    "without flush": replace(WELCOME, capabilities=frozenset(["fua", "trim"])),
    "without trim": replace(WELCOME, capabilities=frozenset(["flush", "fua", "rotational"])),
}


@pytest.mark.parametrize("how", sorted(CHANGED))
def test_an_export_that_changed_is_never_written_to(hall: DstHall, server: RawServer, how: str) -> None:
    node, talker = connected(hall, server)
    held = [write(0, b"x" * 512), write(0, b"y" * 512), read(0, 512)]
    node.submit(held)
    requests_of(talker, 2)
    talker.close()
    talker = server.welcome(CHANGED[how])
    hall.wait(*held)
    assert {request.error for request in held} == {errno.EIO}
    assert isinstance(node.failure, Conflict)
    assert talker.is_closed()
    assert talker._heard == b""
    late = [write(0, b"z" * 512), write(0, b"z" * 512)]
    node.submit(late)
    hall.wait(*late)
    assert {request.error for request in late} == {errno.EIO}


def test_an_export_that_can_more_after_a_reconnect_is_used_as_before(
    hall: DstHall, server: RawServer
) -> None:
    node, talker = connected(hall, server)
    can = node.capabilities
    for names in (["flush", "fua", "trim", "write_zeroes", "rotational"], ["flush", "fua", "trim"]):
        talker.close()
        talker = server.welcome(replace(WELCOME, capabilities=frozenset(names)))
        asked = read(0, 1)
        node.submit([asked])
        ((id_, *_),) = requests_of(talker)
        talker.say(replies(reply(id_, length=1), payload=b"x"))
        hall.wait(asked)
        assert (node.failure, node.capabilities) == (None, can)


def test_an_export_that_refuses_writing_after_a_reconnect_ends_the_node(
    hall: DstHall, server: RawServer
) -> None:
    """The same as a welcome that grants less: permissions changed."""
    node, talker = connected(hall, server)
    held = write(0, b"x" * 512)
    node.submit([held])
    requests_of(talker)
    talker.close()
    talker, _ = server.accept_hello()
    refuse(talker, dst_hello.REFUSED_ACCESS, "Export 'disk' is read-only.")
    hall.wait(held)
    assert held.error == errno.EIO
    assert isinstance(node.failure, Forbidden)


def test_a_smaller_window_after_a_reconnect_holds_new_requests_only(hall: DstHall, server: RawServer) -> None:
    node, talker = connected(hall, server)
    asked = [read(at, 1) for at in range(4)]
    node.submit(asked)
    requests_of(talker, 4)
    talker.close()
    talker = server.welcome(replace(WELCOME, window=2))
    assert len(requests_of(talker, 4)) == 4
    later = read(9, 1)
    node.submit([later])
    talker.say(replies(*[reply(id_, length=1) for id_ in (1, 2, 3)], payload=b"abc"))
    assert requests_of(talker) == [(5, READ, 9, 1)]
    talker.say(replies(reply(4, length=1), reply(5, length=1), payload=b"de"))
    hall.wait(*asked, later)


def test_a_real_server_that_became_read_only_is_not_written_to(hall: DstHall) -> None:
    device = FaultyDevice(hall.reactor, 1 << 20)
    export = hall.export(device)
    node = hall.node(export, QUICK)
    export.go_away()
    hall.until(lambda: not node.up)
    device.capabilities = replace(device.capabilities, read_only=True)
    held = write(0, b"x" * 512)
    node.submit([held])
    export.start()
    hall.wait(held)
    assert held.error == errno.EIO
    assert device.got == []


def test_nothing_of_a_closed_node_connects_again(hall: DstHall, server: RawServer) -> None:
    node, talker = connected(hall, server)
    closed: list[bool] = []
    node.close(lambda: closed.append(True))
    hall.until(lambda: bool(closed))
    hall.nodes.clear()
    assert talker.is_closed()
    hall.pass_time(20 * MS)
    with pytest.raises(BlockingIOError):
        server.socket.accept()


def test_a_node_may_be_closed_while_it_connects(hall: DstHall, server: RawServer) -> None:
    trial = Trial(hall, server.endpoint)
    closed: list[bool] = []
    trial.node.close(lambda: closed.append(True))
    hall.until(lambda: bool(closed))
    hall.nodes.clear()
    hall.pass_time(20 * MS)
    assert trial.outcomes == []


def test_a_look_up_that_fails_in_any_way_is_tried_again_later(
    hall: DstHall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_endpoint: Endpoint) -> list[Endpoint]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(hall.reactor.network, "resolve", resolve)
    outcome = Trial(hall, Endpoint("tcp", "somewhere", 7)).outcome
    assert isinstance(outcome, Unreachable)
    assert "too many open files" in outcome.what
