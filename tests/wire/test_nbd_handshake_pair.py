"""Our client's handshake against our server's, in memory."""

import pytest

from dsttool.engine.vocabulary.errors import NotFound
from dsttool.engine.wire.nbd import ExportInfo
from dsttool.engine.wire.nbd_client import ClientHandshake, Mode
from dsttool.engine.wire.nbd_server import ServerHandshake

PLAIN = ExportInfo(name="plain", size=123_456_789, description="a file, or something")
STRICT = ExportInfo(
    name="strict",
    size=1 << 40,
    block_min=4096,
    block_preferred=1 << 20,
    read_only=True,
    trim=False,
    write_zeroes=False,
    rotational=True,
    multi_conn=False,
)
RICH = ExportInfo(name="r\N{LATIN SMALL LETTER I WITH DIAERESIS}ch", size=0, fast_zero=True)


class Offered:
    def __init__(self, *infos: ExportInfo) -> None:
        self.infos = {info.name: info for info in infos}

    def names(self) -> list[str]:
        return list(self.infos)

    def find(self, name: str) -> ExportInfo | None:
        return self.infos.get(name)

    def asks(self, name: str) -> str:
        return ""


def meet(name: str, mode: Mode, *infos: ExportInfo) -> tuple[ClientHandshake, ServerHandshake]:
    server = ServerHandshake(Offered(*infos))
    client = ClientHandshake(name, mode)
    to_client = server.greeting
    while to_client:
        to_server = client.receive(to_client)
        to_client = server.receive(to_server) if not (server.done or server.closed) else b""
        if client.done or client.error:
            break
    return client, server


@pytest.mark.parametrize("info", [PLAIN, STRICT, RICH], ids=lambda info: info.name)
def test_go_hands_over_the_whole_description(info: ExportInfo) -> None:
    client, server = meet(info.name, "go", PLAIN, STRICT, RICH)
    assert client.done
    assert server.done
    assert server.chosen == client.info == info


@pytest.mark.parametrize("info", [PLAIN, STRICT, RICH], ids=lambda info: info.name)
def test_info_hands_over_the_whole_description_and_leaves(info: ExportInfo) -> None:
    client, server = meet(info.name, "info", PLAIN, STRICT, RICH)
    assert client.info == info
    assert server.closed
    assert not server.done


def test_the_empty_name_learns_the_name_of_the_only_export() -> None:
    client, _ = meet("", "go", PLAIN)
    assert client.info == PLAIN


def test_list_hands_over_every_export_and_leaves() -> None:
    client, server = meet("", "list", PLAIN, STRICT, RICH)
    assert client.listed == [(info.name, info.description) for info in (PLAIN, STRICT, RICH)]
    assert server.closed


def test_an_unknown_export_is_a_not_found_that_quotes_the_server_and_leaves_politely() -> None:
    client, server = meet("nosuch", "go", PLAIN)
    assert isinstance(client.error, NotFound)
    assert "It says" in str(client.error)
    assert server.closed == "The client ended the handshake."
