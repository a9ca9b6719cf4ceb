"""A node and its export over sealed and checksummed links, with somebody in the middle who is not kind.

Whatever happens to the bytes, what was acked is there, what is read is right, and others are served.
"""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.file import FileDevice
from dsttool.engine.transport import channel as channels
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError
from dsttool.engine.vocabulary.limits import KIB, MIB
from dsttool.engine.vocabulary.operations import LOOKED_AT, READ
from dsttool.engine.wire import dst_security
from dsttool.engine.wire.dst_seal import Seal
from dsttool.engine.wire.dst_security import Security
from support.array_bench import content, read, write
from support.dst_hall import POLICY, DstHall, Export
from support.dst_middle import Middle
from support.faulty_device import FaultyDevice

SIZE = 4 * MIB
KEY = bytes(range(32))
SEALED = dst_security.shared("aes256gcm", KEY)
MODES = {
    "crc32c": dst_security.checksummed(("crc32c",)),
    "blake3": dst_security.checksummed(("blake3",)),
    "aes256gcm": SEALED,
    "chacha20poly1305": dst_security.shared("chacha20poly1305", KEY),
}


@pytest.fixture
def hall() -> Iterator[DstHall]:
    with DstHall() as made:
        yield made


def server_of(export: Export) -> DstServer:
    assert export._server is not None
    return export._server


def through(hall: DstHall, middle: Middle, security: Security = SEALED) -> DstNode:
    """A node whose link goes through the middle, connected."""
    answers: list[DsttoolError | None] = []
    node = DstNode(hall.reactor, "victim", middle.endpoint, "disk", policy=POLICY, security=security)
    node.connect(answers.append)
    hall.until(lambda: bool(answers))
    assert answers == [None]
    hall.nodes.append(node)
    return node


def status(node: DstNode) -> dict[str, Any]:
    return node.status()["link"]  # type: ignore[no-any-return]


def serves(hall: DstHall, node: DstNode) -> None:
    """The node writes and reads, small and large."""
    for offset, length in ((0, 512), (MIB, 4096), (2 * MIB, MIB)):
        data = os.urandom(length)
        asked = write(offset, data)
        node.submit([asked])
        hall.wait(asked)
        assert asked.error == 0
        back = read(offset, length)
        node.submit([back])
        hall.wait(back)
        assert content(back) == data


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("name", MODES)
def test_requests_of_all_sizes_are_served(
    hall: DstHall, name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 64 * KIB)
    hall.reactor.resize_crypto(threads)
    export = hall.export(FaultyDevice(hall.reactor, SIZE), MODES[name])
    node = hall.node(export, security=MODES[name])
    serves(hall, node)
    assert status(node)["security"] == ("checksum" if name in dst_security.CHECKSUMS else name)
    assert status(node)["bad_records"] == 0


@pytest.mark.parametrize("name", MODES)
def test_reads_are_marked_as_looked_at_so_that_no_mapping_is_touched(hall: DstHall, name: str) -> None:
    device = FaultyDevice(hall.reactor, SIZE)
    node = hall.node(hall.export(device, MODES[name]), security=MODES[name])
    asked = [read(0, 512), read(MIB, MIB)]
    node.submit(asked)
    hall.wait(*asked)
    flags = [flags for (op, _, _), flags in zip(device.got, device.flags) if op == READ]
    assert len(flags) == 2
    assert all(each & LOOKED_AT for each in flags)


def test_a_file_that_is_cut_while_it_is_read_over_a_sealed_link_is_an_error_and_no_signal(
    hall: DstHall,
) -> None:
    path = hall.folder / "image"
    path.write_bytes(os.urandom(SIZE))
    device = FileDevice.open(hall.reactor, str(path), mapped=True)
    hall.closes(device)
    node = hall.node(hall.export(device, SEALED), security=SEALED)
    serves(hall, node)
    os.truncate(path, 0)
    asked = read(0, 4096)
    node.submit([asked])
    hall.wait(asked)
    assert asked.error or content(asked) == bytes(4096)


@pytest.mark.parametrize("threads", [0, 2])
def test_large_answers_leave_whole_before_a_drained_export_closes(
    hall: DstHall, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 64 * KIB)
    hall.reactor.resize_crypto(threads)
    device = FaultyDevice(hall.reactor, SIZE, prompt=False)
    device.bytes[:] = os.urandom(SIZE)
    export = hall.export(device, SEALED)
    node = hall.node(export, security=SEALED)
    asked = [read(at, MIB) for at in range(0, SIZE, MIB)]
    node.submit(asked)
    hall.until(lambda: len(device.waiting) == len(asked))
    server_of(export).drain()
    device.answer()
    hall.until(lambda: not server_of(export).connections)
    hall.wait(*asked)
    assert [content(each) for each in asked] == [device.bytes[at : at + MIB] for at in range(0, SIZE, MIB)]
    assert len(device.got) == len(asked)  # nothing had to be asked for again


# -- a man in the middle -----------------------------------------------------------------------------------


class Once:
    """Does something to what comes next in one direction once it is armed, and only then."""

    def __init__(self, how: Callable[[bytes], bytes | None]) -> None:
        self.armed = False
        self.done = False
        self._how = how

    def __call__(self, data: bytes, _before: int) -> bytes | None:
        if not self.armed or self.done:
            return data
        self.done = True
        return self._how(data)


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 4
    return bytes(changed)


def cut(data: bytes) -> bytes:
    """A part is missing; the rest follows as if nothing were."""
    return data[: len(data) // 2] + data[len(data) // 2 + 1 :]


def repeated(data: bytes) -> bytes:
    return data + data


def closed_within(_data: bytes) -> None:
    return None


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("how", [flipped, cut, repeated, closed_within])
@pytest.mark.parametrize("length", [512, MIB])
def test_whatever_is_done_to_records_the_link_ends_and_nothing_wrong_is_written_or_read(
    hall: DstHall, direction: str, how: Callable[[bytes], bytes | None], length: int
) -> None:
    device = FaultyDevice(hall.reactor, SIZE)
    export = hall.export(device, SEALED)
    other = hall.node(export, security=SEALED, read_only=True)
    with Middle(hall, export) as middle:
        node = through(hall, middle)
        harm = Once(how)
        setattr(middle, direction, harm)
        data = os.urandom(length)
        before = write(0, data)
        node.submit([before])
        hall.wait(before)
        harm.armed = True
        back, newer = read(0, length), write(2 * MIB, data[::-1])
        node.submit([back, newer])
        hall.wait(back, newer)
        hall.until(lambda: harm.done)
        assert content(back) == data
        assert newer.error == 0
        assert device.bytes[2 * MIB : 2 * MIB + length] == data[::-1]
        hall.until(lambda: middle.connections >= 2 and node.up)
        assert set(device.bytes[2 * MIB + length :]) <= {0}
        asked = read(0, length)
        other.submit([asked])
        hall.wait(asked)
        assert content(asked) == data
        assert status(other)["connects"] == 1


@pytest.mark.parametrize("name", MODES)
def test_a_damaged_record_is_counted_and_explained_on_the_server(
    hall: DstHall, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    export = hall.export(FaultyDevice(hall.reactor, SIZE), MODES[name])
    with Middle(hall, export) as middle:
        node = through(hall, middle, MODES[name])
        middle.to_server = harm = Once(lambda data: data[:-1] + bytes([data[-1] ^ 1]))
        harm.armed = True
        with caplog.at_level(logging.WARNING):
            serves(hall, node)
        assert server_of(export).gate.refusals == {"record": 1}
        assert any("record" in line and "on the way" in line for line in caplog.messages)


@pytest.mark.parametrize("name", MODES)
def test_a_damaged_record_is_counted_and_explained_on_the_client(
    hall: DstHall, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    export = hall.export(FaultyDevice(hall.reactor, SIZE), MODES[name])
    with Middle(hall, export) as middle:
        node = through(hall, middle, MODES[name])
        middle.to_client = harm = Once(lambda data: data[:-1] + bytes([data[-1] ^ 1]))
        harm.armed = True
        with caplog.at_level(logging.WARNING):
            serves(hall, node)
        assert status(node)["bad_records"] == 1
        assert status(node)["connects"] == 2
        assert any("victim" in line and "on the way" in line for line in caplog.messages)


def test_a_node_and_its_export_rekey_while_they_work(hall: DstHall, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Seal] = []

    class Often(Seal):
        __slots__ = ()

        def __init__(self, cipher: Any) -> None:
            super().__init__(cipher, rekey_records=4, rekey_bytes=3 * MIB)
            made.append(self)

    monkeypatch.setattr(channels, "Seal", Often)
    node = hall.node(hall.export(FaultyDevice(hall.reactor, SIZE), SEALED), security=SEALED)
    for _ in range(6):
        serves(hall, node)
    assert status(node)["connects"] == 1
    assert len(made) == 4
    assert all(each.rekeys >= 4 for each in made)
    client_sends, client_receives, server_sends, server_receives = (each.rekeys for each in made)
    assert {client_sends, client_receives} == {server_sends, server_receives}


def test_a_wrong_shared_key_is_an_error_that_says_so(hall: DstHall) -> None:
    export = hall.export(FaultyDevice(hall.reactor, SIZE), SEALED)
    good = hall.node(export, security=SEALED)
    answers: list[DsttoolError | None] = []
    bad = DstNode(
        hall.reactor, "bad", export.endpoint, "disk", security=dst_security.shared("aes256gcm", bytes(32))
    )
    bad.connect(answers.append)
    hall.until(lambda: bool(answers))
    assert isinstance(answers[0], Forbidden)
    assert "refused the handshake" in str(answers[0])
    serves(hall, good)
    hall.nodes.append(bad)


@pytest.mark.parametrize("client", ["none", *MODES])
def test_an_export_takes_nothing_below_its_own_security(hall: DstHall, client: str) -> None:
    export = hall.export(FaultyDevice(hall.reactor, SIZE), SEALED)
    answers: list[DsttoolError | None] = []
    security = MODES.get(client, dst_security.PLAIN)
    node = DstNode(hall.reactor, "n", export.endpoint, "disk", policy=POLICY, security=security)
    node.connect(answers.append)
    hall.until(lambda: bool(answers))
    hall.nodes.append(node)
    if client == "aes256gcm":
        assert answers == [None]
    else:
        assert isinstance(answers[0], ProtocolError)
        assert "another security" in str(answers[0])
