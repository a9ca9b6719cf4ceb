"""The gate: addresses, keys, and how many may wait at the door."""

import logging
from collections.abc import Iterator

import pytest

from dsttool.engine.config.address_rules import parse_rules
from dsttool.engine.config.authorized import AuthorizedKeys, Entry, Permission
from dsttool.engine.export.access import Gate, source_of
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.texts import printable

KEY = b"k" * 32


class Guest:
    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor(io_threads=1)
    yield reactor
    reactor.close()


def come(gate: Gate, peer: str) -> Guest:
    guest = Guest(peer)
    gate.enter(guest, "dst")
    return guest


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("10.1.2.3:4567", "10.1.2.3"),
        ("[::ffff:10.1.2.3]:4567", "10.1.2.3"),
        ("[2001:db8:1:2:3:4:5:6]:4567", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:1", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:1", "fe80::/64"),
        ("unix pid 17 uid 1000", "1000"),
        ("unix pid 18 uid 1000", "1000"),
        ("vsock 3:4567", "vsock 3"),
        ("test", "test"),
    ],
)
def test_a_source_is_a_machine_or_a_user(peer: str, source: str) -> None:
    assert source_of(peer) == source


def test_an_address_is_admitted_by_the_rules_of_the_export(reactor: Reactor) -> None:
    gate = Gate(reactor, rules={"a": parse_rules(["allow 10.0.0.0/8"]), "b": parse_rules(["deny all"])})
    assert gate.admits("10.0.0.1:5", "a")
    assert gate.admits("[::ffff:10.0.0.1]:5", "a")
    assert not gate.admits("11.0.0.1:5", "a")
    assert not gate.admits("10.0.0.1:5", "b")
    assert gate.admits("11.0.0.1:5", "without rules")
    assert gate.admits("unix pid 1 uid 0", "b"), "the socket's mode decides on those"


def test_an_address_that_no_export_admits_is_turned_away_at_the_door(reactor: Reactor) -> None:
    gate = Gate(reactor, rules={"a": parse_rules(["allow 10.0.0.0/8"]), "b": parse_rules(["deny all"])})
    assert gate.turns_away("dst", "10.0.0.1:5", ["a", "b"], 0) is None
    assert gate.turns_away("dst", "10.0.0.1:5", ["b"], 0) == "address"
    assert gate.refusals == {"address": 1}
    gate.close()


def test_a_client_has_what_its_key_and_its_address_have(reactor: Reactor) -> None:
    keys = AuthorizedKeys({KEY: Entry(KEY, read_write=frozenset({"a"}), read_only=frozenset({"b"}))})
    gate = Gate(reactor, rules={"a": parse_rules(["deny 10.0.0.9"])}, keys=keys)
    assert gate.permission("10.0.0.1:5", KEY, "a") is Permission.READ_WRITE
    assert gate.permission("10.0.0.1:5", KEY, "b") is Permission.READ_ONLY
    assert gate.permission("10.0.0.1:5", KEY, "c") is Permission.NONE
    assert gate.permission("10.0.0.9:5", KEY, "a") is Permission.NONE
    assert gate.permission("10.0.0.1:5", b"other", "a") is Permission.NONE
    assert gate.permission("10.0.0.1:5", None, "c") is Permission.READ_WRITE, "no key is asked for there"


def test_keys_may_change_while_it_runs(reactor: Reactor) -> None:
    gate = Gate(reactor)
    assert gate.permission("10.0.0.1:5", KEY, "a") is Permission.NONE
    gate.keys = AuthorizedKeys({KEY: Entry(KEY, read_write=frozenset({"*"}))})
    assert gate.permission("10.0.0.1:5", KEY, "a") is Permission.READ_WRITE


def test_one_address_cannot_take_all_places(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOURCE_CLIENTS_MAX", 2)
    gate = Gate(reactor)
    guests = [come(gate, f"10.0.0.1:{port}") for port in range(2)]
    for guest in guests:
        gate.admit(guest)
    assert gate.turns_away("dst", "10.0.0.1:9", ["a"], 2) == "source"
    assert gate.turns_away("dst", "10.0.0.2:9", ["a"], 2) is None
    gate.leave(guests[0])
    gate.leave(guests[0])
    assert gate.turns_away("dst", "10.0.0.1:9", ["a"], 1) is None
    gate.close()


def test_a_full_server_turns_everybody_away(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_MAX", 3)
    gate = Gate(reactor)
    assert gate.turns_away("nbd", "unix pid 1 uid 0", ["a"], 2) is None
    assert gate.turns_away("nbd", "unix pid 1 uid 0", ["a"], 3) == "busy"
    gate.close()


def test_whoever_waits_longest_at_the_door_gives_way_to_newcomers_of_its_source(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SOURCE_HALF_OPEN_MAX", 3)
    gate = Gate(reactor)
    other = come(gate, "10.0.0.2:1")
    guests = [come(gate, f"10.0.0.1:{port}") for port in range(5)]
    assert [guest.closed for guest in guests] == [True, True, False, False, False]
    assert not other.closed
    assert gate.refusals == {"half_open": 2}
    gate.close()


def test_a_flood_from_many_sources_pushes_out_whoever_has_most(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HALF_OPEN_MAX", 4)
    gate = Gate(reactor)
    honest = come(gate, "10.0.0.1:1")
    flood = [come(gate, f"10.0.0.2:{port}") for port in range(3)]
    newcomer = come(gate, "10.0.0.3:1")
    assert [guest.closed for guest in flood] == [True, False, False]
    assert not honest.closed
    assert not newcomer.closed
    gate.close()


def test_a_thousand_at_the_door_leave_those_inside_alone(reactor: Reactor) -> None:
    gate = Gate(reactor)
    inside = come(gate, "10.0.0.1:1")
    gate.admit(inside)
    flood = [come(gate, f"10.0.0.1:{port}") for port in range(2, 1002)]
    late = come(gate, "10.0.0.1:5000")
    gate.admit(late)
    assert not inside.closed
    assert not late.closed
    assert (
        sum(guest.closed for guest in flood)
        == gate.refusals["half_open"]
        == 1001 - limits.SOURCE_HALF_OPEN_MAX
    )
    for guest in [inside, late, *flood]:
        gate.leave(guest)
    assert gate.turns_away("dst", "10.0.0.1:1", ["a"], 0) is None
    gate.close()


def test_a_flood_is_counted_and_does_not_flood_the_log(
    reactor: Reactor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_PERIOD_NS", 20 * MS)
    gate = Gate(reactor)
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            gate.refused("protocol", "dst", "10.0.0.1:1", f"number {number}")
        gate.refused("key", "dst", "10.0.0.1:1", "its key is not authorised")
        assert len(caplog.records) == limits.LOG_LINES_PER_PERIOD + 1, "another kind is still said"
        assert reactor.run_until(lambda: "more lines" in caplog.text, 10 * SECOND)
        gate.refused("protocol", "dst", "10.0.0.1:1", "the next one")
    assert f"{1000 - limits.LOG_LINES_PER_PERIOD} more lines like these (protocol)" in caplog.text
    assert "the next one" in caplog.text
    assert gate.refusals == {"protocol": 1001, "key": 1}
    gate.close()


def test_what_was_not_said_is_said_at_the_end(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(reactor)
    with caplog.at_level(logging.WARNING):
        for _ in range(limits.LOG_LINES_PER_PERIOD + 3):
            gate.refused("slow", "nbd", "10.0.0.1:1", "no handshake in time")
        gate.close()
    assert "3 more lines like these (slow)" in caplog.text


def test_control_bytes_do_not_reach_the_log(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(reactor)
    with caplog.at_level(logging.WARNING):
        gate.refused("export", "nbd", "10.0.0.1:1", "no export named '\x1b[2J\r\n\x07\u202e'")
    assert printable(caplog.messages[0]) == caplog.messages[0]
    assert "'?[2J????'" in caplog.messages[0]
    gate.close()
