import pytest

from dsttool.engine.config.address_rules import AddressRules, parse_ip, parse_rule, parse_rules
from dsttool.engine.vocabulary.errors import UsageError


def admits(rules: list[str], host: str) -> bool:
    return parse_rules(rules).admit(parse_ip(host))


def test_without_rules_everybody_may_connect() -> None:
    assert AddressRules().admit(parse_ip("10.0.0.1"))
    assert AddressRules().admit(None)


@pytest.mark.parametrize(
    ("rules", "host", "admitted"),
    [
        (["allow 10.0.0.0/8"], "10.1.2.3", True),
        (["allow 10.0.0.0/8"], "11.1.2.3", False),
        (["deny 10.0.0.0/8"], "10.1.2.3", False),
        (["deny 10.0.0.0/8"], "11.1.2.3", True),
        (["deny 10.1.2.3", "allow 10.0.0.0/8"], "10.1.2.3", False),
        (["allow 10.0.0.0/8", "deny 10.1.2.3"], "10.1.2.3", True),
        (["deny all", "allow 10.1.2.3"], "10.1.2.3", False),
        (["allow 10.1.2.3", "deny all"], "10.1.2.4", False),
        (["deny 10.1.2.3", "allow all"], "8.8.8.8", True),
        (["allow fd00::/8"], "fd12::1", True),
        (["allow fd00::/8"], "10.1.2.3", False),
        (["allow 10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["allow 0.0.0.0/0"], "fd00::1", False),
        (["allow fe80::/10"], "fe80::1%eth0", True),
        (["allow all"], "vsock 3", True),
        (["allow 10.0.0.0/8"], "vsock 3", False),
    ],
)
def test_the_first_rule_that_matches_decides(rules: list[str], host: str, admitted: bool) -> None:
    assert admits(rules, host) is admitted


@pytest.mark.parametrize("text", ["allow 10.0.0.0/8", "deny fd00::/8", "deny all", "allow 10.1.2.3/32"])
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_rule(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a rule"),
        ("allow", "is not a rule"),
        ("permit all", "is not a rule"),
        ("Allow all", "is not a rule"),
        ("allow everybody", "is not a network"),
        ("allow 10.0.0.0/33", "is not a network"),
        ("allow 10.0.0.0/8 deny all", "is not a network"),
        ("allow host.example", "is not a network"),
        ("allow 10.1.2.3/8", "is an address within a network"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_rule(text)


def test_an_address_where_a_network_is_needed_is_refused_with_the_network() -> None:
    with pytest.raises(UsageError) as caught:
        parse_rule("allow 10.1.2.3/8")
    assert "10.0.0.0/8" in caught.value.advice
