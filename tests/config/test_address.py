import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.config import keys, options, units
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import UsageError

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True)
HOSTS = st.one_of(
    st.sampled_from(["localhost", "a.example", "10.0.0.1", "::1", "fe80::1%eth0", "2001:db8::2"]),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
)
NUMBERS = st.integers(min_value=0, max_value=(1 << 32) - 1)
# Any file name that Linux allows, including bytes that are not UTF-8 (as surrogates).
PATHS = (
    st.binary(min_size=1, max_size=60)
    .filter(lambda name: b"\0" not in name)
    .map(lambda name: name.decode(errors="surrogateescape"))
)
EXPORTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
DURATIONS = st.integers(min_value=1, max_value=units.DURATION_MAX_NS)
WORDS = st.from_regex(r"[A-Za-z0-9+/=&?#%. ]{1,30}", fullmatch=True)
DST_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "security": st.sampled_from(options.SECURITIES),
        "key": WORDS,
        "server": st.binary(min_size=32, max_size=32).map(keys.format_public),
        "links": st.integers(1, 64),
        "resend_timeout": DURATIONS,
        "resends": st.integers(0, 1000),
        "ping_interval": DURATIONS,
        "ping_misses": st.integers(1, 1000),
        "connect_timeout": DURATIONS,
        "backoff_min": st.integers(1, 10**9),
        "backoff_max": st.integers(10**9, 10**12),
        "on_exhausted": st.sampled_from(["fail", "freeze"]),
        "window": st.integers(1, 65536),
    },
)
NBD_OPTIONS = DST_OPTIONS.map(lambda chosen: {k: v for k, v in chosen.items() if k != "security"})
NBDS_OPTIONS = st.builds(
    lambda chosen, tls: chosen | tls,
    NBD_OPTIONS,
    st.fixed_dictionaries({}, optional={"tls-certificates": WORDS, "tls-hostname": WORDS}),
)
NAME_OPTION = st.fixed_dictionaries({}, optional={"name": NAMES})
TCP = st.builds(Endpoint, st.just("tcp"), HOSTS, st.integers(1, 65535))
UNIX = st.builds(Endpoint, st.just("unix"), path=PATHS)
MPTCP = st.builds(Endpoint, st.just("mptcp"), HOSTS, st.integers(1, 65535))
VSOCK = st.builds(
    Endpoint, st.just("vsock"), NUMBERS.map(str), st.integers(min_value=1, max_value=(1 << 32) - 1)
)
ADDRESSES = st.one_of(
    st.builds(Address, st.just("dst"), st.one_of(TCP, UNIX, MPTCP, VSOCK), EXPORTS, options=DST_OPTIONS),
    st.builds(Address, st.just("nbd"), st.one_of(TCP, UNIX), EXPORTS, options=NBD_OPTIONS),
    st.builds(
        Address, st.just("nbd"), st.one_of(TCP, UNIX), EXPORTS, options=NBDS_OPTIONS, tls=st.just(True)
    ),
    st.builds(Address, st.just("file"), path=PATHS, options=NAME_OPTION),
    st.builds(Address, st.just("mem"), size=st.integers(1, units.SIZE_MAX), options=NAME_OPTION),
    st.builds(Address, st.just("name"), export=NAMES),
)


@given(ADDRESSES)
def test_every_address_is_read_back_the_same(address: Address) -> None:
    text = str(address)
    assert parse_address(text) == address
    assert text.encode(), "it is text, whatever the names of files are"


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert parse_address(str(address)) == address


@given(
    st.sampled_from(
        [
            "dst://",
            "nbd+unix:///",
            "nbds://h?",
            "mem:",
            "file:",
            "dst://h/",
            "dst+unix:///a?socket=",
            "nbd://h?",
        ]
    ),
    st.text("ab:/?&=%[]@+#1. é\0\ud800", max_size=20),
)
def test_a_scheme_followed_by_any_text_is_an_address_or_a_usage_error(scheme: str, text: str) -> None:
    try:
        address = parse_address(scheme + text)
    except UsageError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dst://a/d0", Address("dst", Endpoint("tcp", "a", 6207), "d0")),
        ("dst://a:7000/d0", Address("dst", Endpoint("tcp", "a", 7000), "d0")),
        ("dst://[::1]:7000/d0", Address("dst", Endpoint("tcp", "::1", 7000), "d0")),
        ("dst://[fe80::1%25eth0]/d0", Address("dst", Endpoint("tcp", "fe80::1%eth0", 6207), "d0")),
        ("dst+unix:///d0?socket=/run/a.dst", Address("dst", Endpoint("unix", path="/run/a.dst"), "d0")),
        ("dst+vsock://2/d0", Address("dst", Endpoint("vsock", "2", 6207), "d0")),
        ("dst+vsock://3:9/d0", Address("dst", Endpoint("vsock", "3", 9), "d0")),
        ("dst+mptcp://a/d0", Address("dst", Endpoint("mptcp", "a", 6207), "d0")),
        ("nbd://a", Address("nbd", Endpoint("tcp", "a", 10809))),
        ("nbd://a/", Address("nbd", Endpoint("tcp", "a", 10809))),
        ("NBD://a/x/y", Address("nbd", Endpoint("tcp", "a", 10809), "x/y")),
        ("nbd://a//x", Address("nbd", Endpoint("tcp", "a", 10809), "/x")),
        ("nbds://a/x", Address("nbd", Endpoint("tcp", "a", 10809), "x", tls=True)),
        ("nbds+unix:///x?socket=s", Address("nbd", Endpoint("unix", path="s"), "x", tls=True)),
        (
            "nbds://a?tls-certificates=/etc/pki&tls-hostname=b",
            Address(
                "nbd",
                Endpoint("tcp", "a", 10809),
                options={"tls-certificates": "/etc/pki", "tls-hostname": "b"},
                tls=True,
            ),
        ),
        ("nbd+unix:///?socket=s+1", Address("nbd", Endpoint("unix", path="s+1"))),
        ("nbd+unix:///a%20%3Fb?socket=%2Ftmp%2Fs", Address("nbd", Endpoint("unix", path="/tmp/s"), "a ?b")),
        ("file:x", Address("file", path="x")),
        ("file:/x%20y?name=n1", Address("file", path="/x y", options={"name": "n1"})),
        ("file:///x", Address("file", path="/x")),
        ("./x?name=n1", Address("file", path="./x?name=n1")),
        ("/dev/sdb", Address("file", path="/dev/sdb")),
        ("/x%20y", Address("file", path="/x%20y")),
        ("mem:64M", Address("mem", size=64 << 20)),
        ("mem:1G?name=m", Address("mem", size=1 << 30, options={"name": "m"})),
        ("pool", Address("name", export="pool")),
    ],
)
def test_each_form_of_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "complaint", "advice"),
    [
        ("nbds:a/x", "lacks the slashes", "Write nbds://"),
        ("nbds+vsock://2/x", "'nbds\\+vsock' is not a scheme", "Did you mean"),
        ("nbds+unix:///x", "does not say which socket", "nbds+unix:///EXPORT"),
        ("nbds://a/x?security=none", "is inside TLS, which security= cannot change", "Leave"),
        ("nbd://a/x?tls-certificates=p", "'tls-certificates' in .* is for nbds addresses", "nbds://"),
        ("dst://a/x?tls-hostname=b", "'tls-hostname' in .* is for nbds addresses", "nbds://"),
        ("nbds://a/x?tls-psk-file=p", "pre-shared keys, which Python's TLS does not have", "ca-cert.pem"),
        ("nbds://a/x?tls-username=u", "pre-shared keys", "tls-certificates=FOLDER"),
        ("nbds://a/x?tls-verify-peer=false", "'tls-verify-peer' in .* is not an option", "There are"),
        ("dts://a/x", "'dts' is not a scheme", "Did you mean dst://"),
        ("http://a/x", "'http' is not a scheme", "dst+vsock"),
        ("dst:a/x", "lacks the slashes", "Write dst://"),
        ("dst://", "names no host", "dst://HOST/EXPORT"),
        ("dst:///x", "names no host", "dst://HOST/EXPORT"),
        ("dst://::1/x", "is not a host", "in brackets"),
        ("dst://[a]/x", "is not an IPv6 address", "[::1]"),
        ("dst://[::1/x", "is not an IPv6 address", "[::1]"),
        ("dst://me@a/x", "'me@a' in .* is not a host", "IP address"),
        ("dst://a:b/x", "'b' in .* is not a port", "65535"),
        ("dst://a:65536/x", "is not a port", "65535"),
        ("dst://a:/x", "is not a port", "65535"),
        ("dst://[::1]6207/x", "is not a port", "65535"),
        ("dst://a:0/x", "port 0", "Leave it out"),
        ("dst+vsock://a/x", "is not a context id", "number"),
        ("nbd+unix://x?socket=s", "has a host", "three slashes"),
        ("nbd+unix:///x", "does not say which socket", "socket=PATH"),
        ("nbd+unix:///x?socket=", "is not an option", "KEY=VALUE"),
        ("nbd://a/x?socket=s", "both a host and a socket", "nbd+unix"),
        ("nbd://a/%00", "zero byte", "Remove"),
        ("nbd://a/%ff", "not UTF-8", "percent"),
        ("./a\ud800", "is not text", "encoding"),
        ("./a\0", "zero byte", "Remove"),
        (f"nbd://a/{'x' * 4097}", "4097 bytes", "shorter"),
        (f"nbd+unix:///a?socket=/{'x' * 107}", "has 108 bytes, and a Unix socket's may have 107", "shorter"),
        ("dst://a/x?resend_timout=5s", "'resend_timout' in .* is not an option", "'resend_timeout'"),
        ("dst://a/x?zzz=5s", "is not an option", "There are: name, security"),
        ("dst://a/x?resends", "'resends' in .* is not an option", "KEY=VALUE"),
        ("dst://a/x?links=2&links=3", "'links' is given twice", "once"),
        ("dst://a/x?resends=many", "resends=many in .* is wrong: 'many' is not a number", "number"),
        ("dst://a/x?resend_timeout=0", "resend_timeout=0 in .* is wrong: It must be longer", "500ms"),
        ("dst://a/x?ping_interval=fast", "ping_interval=fast in .* is wrong", "500ms"),
        ("dst://a/x?security=aes256", "security=aes256 in .* is wrong", "'aes256gcm'"),
        ("dst://a/x?on_exhausted=panic", "is none of fail, freeze", "Choose"),
        ("dst://a/x?name=-n", "name=-n in .* is wrong", "letters"),
        ("dst://a/x?backoff_min=2s&backoff_max=1s", "backoff_min is longer", "Exchange"),
        ("nbd://a/x?security=aes256gcm", "NBD has no security=aes256gcm", "dst://"),
        ("mem:", "is not a size", "64K"),
        ("mem:0", "no bytes", "mem:64M"),
        ("mem:1M?links=2", "for dst and nbd addresses", "Leave it out"),
        ("file:", "names no file", "file:PATH"),
        ("file:a?resends=2", "for dst and nbd addresses", "Leave it out"),
        ("file://host/a", "names a host", "file:///PATH"),
        ("a:6207", "is not an address", "dst://HOST/EXPORT"),
        ("", "is not an address", "dst://HOST/EXPORT"),
        ("/a\0b", "zero byte", "Remove"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_with_advice(text: str, complaint: str, advice: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_address(text)
    assert advice in caught.value.advice


def test_a_socket_path_of_107_bytes_is_accepted() -> None:
    path = "/" + "x" * 106
    assert parse_address(f"nbd+unix:///a?socket={path}").endpoint == Endpoint("unix", path=path)


def test_the_policy_of_an_address_is_in_the_policys_own_fields_and_units() -> None:
    address = parse_address(
        "dst://a/x?security=none&name=n1&resend_timeout=500ms&resends=2&ping_interval=1s&ping_misses=4"
        "&connect_timeout=3s&backoff_min=100ms&backoff_max=1m&on_exhausted=fail&window=32&links=1"
    )
    assert address.policy == {
        "resend_timeout_ns": 500_000_000,
        "resends": 2,
        "ping_interval_ns": 1_000_000_000,
        "ping_misses": 4,
        "connect_timeout_ns": 3_000_000_000,
        "backoff_min_ns": 100_000_000,
        "backoff_max_ns": 60_000_000_000,
        "on_exhausted": "fail",
        "window": 32,
        "links": 1,
    }
    assert Policy(**address.policy).budget_ns == 1_500_000_000


@pytest.mark.parametrize(
    ("text", "security"),
    [
        ("dst://a/x", "aes256gcm"),
        ("dst+vsock://2/x", "aes256gcm"),
        ("dst://a/x?security=checksum", "checksum"),
        ("dst+unix:///x?socket=s", "none"),
        ("dst+unix:///x?socket=s&security=aes256gcm", "aes256gcm"),
        ("nbd://a/x", "none"),
        ("/x/y", "none"),
    ],
)
def test_security_is_none_on_unix_sockets_and_sealed_elsewhere_unless_spelled(
    text: str, security: str
) -> None:
    assert parse_address(text).security == security


def test_the_name_can_be_put_in_and_taken_out() -> None:
    address = parse_address("dst://a/x?resends=2")
    assert address.name == ""
    assert address.named("n7").name == "n7"
    assert str(address.named("n7")) == "dst://a/x?name=n7&resends=2"
    assert address.named("n7").named("") == address


def test_a_bare_address_has_no_options_but_keeps_the_socket() -> None:
    address = parse_address("dst+unix:///x?socket=/s&resends=2&name=n")
    assert str(address.bare()) == "dst+unix:///x?socket=/s"


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("file:x", "/d/x"),
        ("./x", "/d/x"),
        ("/x/y", "/x/y"),
        ("nbd+unix:///?socket=s", "nbd+unix:///?socket=/d/s"),
        ("dst://a/x?key=k", "dst://a/x?key=/d/k"),
        ("pool", "pool"),
    ],
)
def test_relative_paths_are_taken_from_the_folder_given(text: str, absolute: str) -> None:
    assert str(parse_address(text).absolute(Path("/d"))) == absolute


def test_addresses_with_options_can_be_in_a_set() -> None:
    text = "dst://a/x?resends=2"
    assert len({parse_address(text), parse_address(text), parse_address(text).bare()}) == 2


def test_reading_an_address_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from dsttool.engine.config.address import parse_address\n"
        "parse_address('dst://a/x?resends=2')\n"
        "heavy = {'tomlkit', 'tomllib', 'msgspec', 'difflib', 'socket', 'tempfile', 'asyncio'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
