import pytest

from dsttool.engine.config.address import parse_address
from dsttool.engine.config.supported import check_supported
from dsttool.engine.vocabulary.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "dst://a/x?security=none",
        "dst://a/x?key=k",
        "dst+unix:///x?socket=s&security=checksum",
        "dst+unix:///x?socket=s",
        "dst+unix:///x?socket=s&links=4&on_exhausted=freeze&resends=3&window=8",
        "nbd://a/x?links=1&on_exhausted=freeze",
        "/x/y",
        "mem:1M",
        "pool",
    ],
)
def test_these_addresses_are_supported(text: str) -> None:
    check_supported(parse_address(text))


@pytest.mark.parametrize(
    ("text", "complaint", "advice"),
    [
        ("dst://a/x", "does not say with which keys", "dst://a/x?security=none"),
        ("nbd://a/x?links=2", "several links, and NBD has no sessions", "dst:// address"),
    ],
)
def test_what_cannot_be_or_comes_later_is_refused_with_a_way_out(
    text: str, complaint: str, advice: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        check_supported(parse_address(text))
    assert advice in caught.value.advice
