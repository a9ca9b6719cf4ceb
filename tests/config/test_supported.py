import pytest

from dsttool.engine.config.address import parse_address
from dsttool.engine.config.listen import parse_listen
from dsttool.engine.config.supported import check_listen_supported, check_supported
from dsttool.engine.vocabulary.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "dst://a/x?security=none",
        "dst+unix:///x?socket=s",
        "dst+unix:///x?socket=s&links=1&on_exhausted=fail&resends=3&window=8",
        "nbd://a/x",
        "/x/y",
        "mem:1M",
        "pool",
    ],
)
def test_plain_addresses_are_supported(text: str) -> None:
    check_supported(parse_address(text))


@pytest.mark.parametrize(
    ("text", "complaint", "advice"),
    [
        ("dst://a/x", "aes256gcm is the default beyond Unix sockets", "dst://a/x?security=none."),
        ("dst://a/x?resends=2", "would be sealed", "dst://a/x?resends=2&security=none."),
        ("dst://a/x?security=aes256gcm", "asks for security=aes256gcm", "Use security=none"),
        ("dst+unix:///x?socket=s&security=checksum", "asks for security=checksum", "Use security=none"),
        ("dst://a/x?security=none&key=k", "says key=", "Leave key= out"),
        ("dst://a/x?security=none&links=2", "several links", "Leave links= out"),
        ("nbd://a/x?links=2", "several links", "Leave links= out"),
        ("dst://a/x?security=none&on_exhausted=freeze", "can only fail", "resends="),
    ],
)
def test_what_comes_later_is_refused_with_a_way_out(text: str, complaint: str, advice: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        check_supported(parse_address(text))
    assert advice in caught.value.advice


def test_a_dst_listener_beyond_unix_sockets_must_spell_that_it_is_not_sealed() -> None:
    check_listen_supported(parse_listen("dst://127.0.0.1?security=none"))
    check_listen_supported(parse_listen("dst://127.0.0.1").with_security("none"))
    check_listen_supported(parse_listen("dst+unix:///?socket=s"))
    check_listen_supported(parse_listen("nbd://127.0.0.1"))
    with pytest.raises(UsageError, match="would be sealed") as caught:
        check_listen_supported(parse_listen("dst://127.0.0.1"))
    assert "dst://127.0.0.1/?security=none" in caught.value.advice


def test_a_sealed_listener_is_refused() -> None:
    with pytest.raises(UsageError, match="only has security=none"):
        check_listen_supported(parse_listen("dst+unix:///?socket=s&security=aes256gcm"))
