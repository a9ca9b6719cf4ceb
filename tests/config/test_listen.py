from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.config import keys
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.listen import Listen, check_exposure, is_loopback, parse_listen
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Unsafe, UsageError

EXPORTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SECURITIES = st.sampled_from(["", "none", "checksum", "aes256gcm", "chacha20poly1305"])
TCP = st.builds(Endpoint, st.just("tcp"), st.sampled_from(["a", "0.0.0.0", "::"]), st.integers(0, 65535))
UNIX = st.builds(Endpoint, st.just("unix"), path=st.sampled_from(["s", "/run/a b", "/t/ü&="]))
LISTENS = st.one_of(
    st.builds(Listen, st.just("dst"), TCP, EXPORTS, SECURITIES),
    st.builds(
        Listen,
        st.just("dst"),
        TCP | UNIX,
        EXPORTS,
        st.sampled_from(["", "aes256gcm", "chacha20poly1305"]),
        key=st.sampled_from(["k", "/a b/ü&=?"]),
    ),
    st.builds(
        Listen,
        st.just("dst"),
        UNIX,
        EXPORTS,
        SECURITIES,
        st.none() | st.integers(0, 0o777),
        st.sampled_from(["", "disk", "6"]),
    ),
    st.builds(Listen, st.just("nbd"), TCP | UNIX, EXPORTS, st.sampled_from(["", "none"])),
)


@given(LISTENS)
def test_every_address_to_listen_on_is_read_back_the_same(listen: Listen) -> None:
    assert parse_listen(str(listen)) == listen


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("nbd+unix:///?socket=T", Listen("nbd", Endpoint("unix", path="T"))),
        ("dst+unix:///?socket=S", Listen("dst", Endpoint("unix", path="S"))),
        ("nbd+unix:///a?socket=T", Listen("nbd", Endpoint("unix", path="T"), "a")),
        ("nbd://0.0.0.0:10809?security=none", Listen("nbd", Endpoint("tcp", "0.0.0.0", 10809), "", "none")),
        ("nbd://127.0.0.1:0", Listen("nbd", Endpoint("tcp", "127.0.0.1", 0))),
        ("dst://[::]", Listen("dst", Endpoint("tcp", "::", 6207))),
        (
            "dst+unix:///?socket=S&mode=0660&group=disk",
            Listen("dst", Endpoint("unix", path="S"), mode=0o660, group="disk"),
        ),
    ],
)
def test_each_form_to_listen_on_is_read(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen


@pytest.mark.parametrize(
    ("text", "complaint", "advice"),
    [
        ("/tmp/s", "is not an address to listen on", "nbd+unix:///?socket=PATH"),
        ("nbd+unix:///?socket=T&mode=888", "mode=888 in .* is not a file mode", "0660"),
        ("nbd+unix:///?socket=T&mode=01777", "is not a file mode", "0660"),
        ("nbd+unix:///?socket=T&mod=600", "'mod' in .* is not an option", "Did you mean 'mode'"),
        ("dst://a?resends=2", "'resends' in .* is not an option", "security, key, mode, group"),
        ("nbd://a?mode=600", "'mode' in .* is for Unix sockets only", "Leave"),
        ("nbd://a?security=checksum", "NBD has no security=checksum", "dst://"),
        ("dst://a?security=aes256", "security=aes256 in .* is wrong", "aes256gcm"),
        ("dst://a?security=none&key=k", "has a key, and security=none seals nothing", "aes256gcm"),
        ("dst://a?security=checksum&key=k", "has a key, and security=checksum seals nothing", "aes256gcm"),
        ("nbd://a?key=k", "has a key, and security=none seals nothing", "leave the key out"),
        ("nbds://a", "asks for TLS, which the NBD server .* does not have", "dst://"),
        (f"nbd+unix:///?socket=/{'x' * 120}", "has 121 bytes", "shorter"),
    ],
)
def test_what_is_wrong_with_an_address_to_listen_on_is_said(text: str, complaint: str, advice: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_listen(text)
    assert advice in caught.value.advice


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_hosts_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "fe80::1%lo"]
)
def test_every_other_host_counts_as_a_network(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "text",
    [
        "nbd://127.0.0.1",
        "nbd+unix:///?socket=T",
        "nbd://0.0.0.0?security=none",
        "dst://0.0.0.0?security=none",
        "dst://0.0.0.0",
        "dst://127.0.0.1?security=none",
        "dst+unix:///?socket=T",
        "dst+vsock://1?security=none",
    ],
)
def test_local_sealed_and_spelled_out_listeners_are_allowed(text: str) -> None:
    check_exposure(parse_listen(text))


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("nbd://0.0.0.0", "nbd://0.0.0.0/?security=none"), ("nbd://a/x", "nbd://a/x?security=none")],
)
def test_nbd_beyond_loopback_has_to_be_spelled_out(text: str, spelled: str) -> None:
    with pytest.raises(Unsafe, match="readable for everybody") as caught:
        check_exposure(parse_listen(text))
    assert spelled in caught.value.advice
    check_exposure(parse_listen(spelled))


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("nbd://0.0.0.0?security=none", True),
        ("dst://0.0.0.0?security=none", True),
        ("dst://0.0.0.0?security=checksum", True),
        ("dst://0.0.0.0", False),
        ("dst+vsock://3?security=none", True),
        ("dst+vsock://1?security=none", False),
        ("nbd://127.0.0.1", False),
        ("nbd+unix:///?socket=T", False),
    ],
)
def test_listeners_that_are_worth_a_warning_are_known(text: str, exposed: bool) -> None:
    assert parse_listen(text).is_exposed is exposed


def test_the_security_flag_governs_dst_listeners_that_do_not_spell_their_own() -> None:
    assert parse_listen("dst://a").with_security("none").security == "none"
    assert parse_listen("dst://a?security=checksum").with_security("none").security == "checksum"
    assert parse_listen("dst+unix:///?socket=s").with_security("aes256gcm").security == "aes256gcm"
    assert parse_listen("dst://a").with_security("").security == "aes256gcm"


def test_the_security_flag_does_not_spell_out_that_nbd_is_plain() -> None:
    with pytest.raises(Unsafe):
        check_exposure(parse_listen("nbd://0.0.0.0").with_security("none"))


def test_the_address_of_an_export_names_the_port_that_was_got() -> None:
    listen = parse_listen("nbd://127.0.0.1:0")
    assert str(listen.address("a", Endpoint("tcp", "127.0.0.1", 40001))) == "nbd://127.0.0.1:40001/a"


def test_the_address_of_an_export_spells_a_security_that_is_not_the_default() -> None:
    assert str(parse_listen("dst://a?security=none").address("x")) == "dst://a/x?security=none"
    assert str(parse_listen("dst://a").address("x")) == "dst://a/x"
    assert str(parse_listen("dst+unix:///?socket=s&security=none").address("x")) == "dst+unix:///x?socket=s"


def test_a_relative_socket_is_taken_from_the_folder_given() -> None:
    assert str(parse_listen("nbd+unix:///?socket=s").absolute(Path("/d"))) == "nbd+unix:///?socket=/d/s"
    assert str(parse_listen("nbd://127.0.0.1").absolute(Path("/d"))) == "nbd://127.0.0.1/"


def test_a_key_means_that_it_is_used() -> None:
    assert parse_listen("dst+unix:///?socket=s&key=k").security == "aes256gcm"
    assert parse_listen("dst+unix:///?socket=s").with_security("", "k").security == "aes256gcm"
    assert parse_listen("dst+unix:///?socket=s").with_security("", "k").key == "k"
    assert parse_listen("dst://a?key=own").with_security("chacha20poly1305", "k").key == "own"


def test_a_key_is_not_for_those_who_spell_that_they_need_none() -> None:
    for text in ("dst://a?security=none", "dst://a?security=checksum", "nbd+unix:///?socket=s"):
        assert parse_listen(text).with_security("", "k") == parse_listen(text)
    with pytest.raises(UsageError, match="has a key"):
        parse_listen("dst://a").with_security("none", "k")


def test_a_relative_key_file_is_taken_from_the_folder() -> None:
    listen = parse_listen("dst+unix:///?socket=s&key=k").absolute(Path("/d"))
    assert str(listen) == "dst+unix:///?socket=/d/s&key=/d/k"


def test_clients_are_told_the_servers_public_key_or_the_shared_keys_file() -> None:
    public = keys.format_public(bytes(32))
    sealed = parse_listen("dst://a?key=/k")
    assert str(sealed.address("x")) == "dst://a/x?key=/k"
    assert str(sealed.address("x", server=public)) == f"dst://a/x?server={public}"
    unix = parse_listen("dst+unix:///?socket=/s&security=chacha20poly1305")
    assert str(unix.address("x", server=public)) == (
        f"dst+unix:///x?socket=/s&security=chacha20poly1305&server={public}"
    )
    for listen in (sealed, unix):
        assert parse_address(str(listen.address("x", server=public))).security == listen.security
