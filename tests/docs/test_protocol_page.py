"""The protocol's manual page is well-formed, and a server does byte for byte what its session shows."""

import re
import subprocess
from pathlib import Path

import pytest

import dsttool
from dsttool.engine.config.units import parse_size
from dsttool.engine.device.request import Request
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import WRITE
from dsttool.engine.wire import dst_records
from dsttool.engine.wire.dst_records import HEADER
from support.dst_hall import DstHall
from support.dst_strangers import RawClient

PAGE = Path(dsttool.__file__).parent.parent / "man" / "dsttool-protocol.7"
# A row of the table of types of records: number, name, body at most.
TYPE = r"^\.It (\d) Ta ([A-Z]+) Ta \w+ Ta (\d+(?: [KM]iB)?)$"


class Disk(MemoryDevice):
    """The device of the page's session: 1 MiB, with the identity and verifier that are shown there."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__(reactor, 1 << 20)
        self.identity = bytes(range(0xE0, 0xF0))
        self.verifier = bytes(range(0xA0, 0xB0))
        self.writes: list[tuple[int, bytes]] = []

    def submit(self, batch: list[Request]) -> None:
        self.writes += [(each.offset, bytes(each.data)) for each in batch if each.op == WRITE]
        super().submit(batch)


def connections() -> list[list[tuple[str, bytes]]]:
    """What client (C) and server (S) say on each connection of the page, in order."""
    section = PAGE.read_text().partition(".Sh A SESSION\n")[2].partition("\n.Sh ")[0]
    said: list[list[tuple[str, bytes]]] = []
    for line in section.splitlines():
        if line.startswith("connection "):
            said.append([])
        found = re.fullmatch(r"([CS]) ([0-9a-f]+)(?:  .*)?", line)
        if found is not None:
            said[-1].append((found[1], bytes.fromhex(found[2])))
    return said


def test_the_page_has_no_warnings() -> None:
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(PAGE)], capture_output=True, text=True, check=True
    )

    assert run.stderr == ""
    assert "DSTTOOL-PROTOCOL(7)" in run.stdout


def test_a_server_answers_as_the_page_says_and_does_not_execute_a_resent_write_twice() -> None:
    first, second = connections()
    with DstHall() as hall:
        disk = Disk(hall.reactor)
        export = hall.export(disk)
        client = RawClient(hall, export)
        for who, data in first:
            if who == "C":
                client.say(data)
            else:
                assert client.hear(len(data)) == data
        hall.until(lambda: len(disk.writes) == 2)
        client.close()

        client = RawClient(hall, export)
        for who, data in second:
            if who == "C":
                client.say(data)
            else:
                assert client.hear(len(data)) == data
        client.close()

        assert disk.writes == [(0, b"data"), (4, b"more")]


@pytest.mark.parametrize(
    ("kind", "name", "longest"),
    [(int(kind), name, size) for kind, name, size in re.findall(TYPE, PAGE.read_text(), flags=re.MULTILINE)],
)
def test_a_body_is_as_long_as_the_page_says_and_no_longer(kind: int, name: str, longest: str) -> None:
    length = int(longest) if longest.isdigit() else parse_size(longest)

    assert getattr(dst_records, name) == kind
    dst_records.split(memoryview(HEADER.pack(length, kind, 0, 0)), 0, HEADER.size)
    with pytest.raises(ProtocolError):
        dst_records.split(memoryview(HEADER.pack(length + 1, kind, 0, 0)), 0, HEADER.size)


def test_the_page_lists_all_types_and_bounds_what_a_record_counts() -> None:
    assert len(re.findall(TYPE, PAGE.read_text(), flags=re.MULTILINE)) == 9
    assert f"(at most {dst_records.BATCH_COUNT_MAX})" in PAGE.read_text()
