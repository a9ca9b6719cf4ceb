import re
from pathlib import Path

import pytest

from dsttool.engine.config import array_file
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.address_rules import parse_rules
from dsttool.engine.config.array_file import ArrayConfig, create_array, delete_array, load_array, read_array
from dsttool.engine.config.export_file import ExportConfig, load_export
from dsttool.engine.config.listen import parse_listen
from dsttool.engine.config.toml_file import TomlFile, problems
from dsttool.engine.config.toml_lines import Place
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, UsageError

WHOLE = """\
# A comment with nodes = [ in it
layout = "mirror"
raw = true
chunk = "64K"
read_policy = "round_robin"

nodes = [
    "dst://a/d0?security=none&resends=2",  # the first
    {address = "/srv/d1", name = "local"},
    'mem:64M',
]
listen = ["nbd://127.0.0.1", "nbd+unix:///?socket=/s&mode=0660"]
"""


@pytest.fixture
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path))
    return tmp_path


def _put(config_dir: Path, file: str, text: str) -> None:
    (config_dir / file).parent.mkdir(exist_ok=True)
    (config_dir / file).write_text(text)


def _config(name: str = "pool") -> ArrayConfig:
    return ArrayConfig(
        name=name,
        layout="mirror",
        nodes=(
            parse_address("dst://a/d0?security=none&resends=2"),
            parse_address("/srv/d1").named("local"),
            parse_address("mem:64M"),
        ),
        raw=True,
        chunk=65536,
        read_policy="round_robin",
        listen=(parse_listen("nbd://127.0.0.1"), parse_listen("nbd+unix:///?socket=/s&mode=0660")),
    )


def test_an_array_file_is_read(config_dir: Path) -> None:
    _put(config_dir, "arrays/pool.toml", WHOLE)
    assert load_array("pool") == _config()


def test_an_array_of_nothing_but_layout_and_nodes_has_defaults(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", 'layout = "linear"\nnodes = ["/a/b"]\n')
    assert load_array("p") == ArrayConfig("p", "linear", (parse_address("/a/b"),))


def test_nodes_may_be_written_as_tables(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", 'layout = "linear"\n[[nodes]]\naddress = "/a/b"\nname = "x"\n')
    assert load_array("p").nodes == (parse_address("/a/b").named("x"),)


def test_a_chunk_may_be_a_plain_number_of_bytes(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", 'layout = "stripe"\nnodes = ["/a/b"]\nchunk = 4096\n')
    assert load_array("p").chunk == 4096


def test_a_written_array_file_is_read_back_the_same(config_dir: Path) -> None:
    path = create_array(_config())
    assert path == config_dir / "arrays/pool.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_array("pool") == _config()


def test_a_written_array_file_reads_like_one_written_by_hand(config_dir: Path) -> None:
    assert create_array(_config()).read_text() == (
        'layout = "mirror"\n'
        "raw = true\n"
        'chunk = "64K"\n'
        'read_policy = "round_robin"\n'
        "nodes = [\n"
        '    "dst://a/d0?security=none&resends=2",\n'
        '    {name = "local", address = "/srv/d1"},\n'
        '    "mem:64M",\n'
        "]\n"
        "listen = [\n"
        '    "nbd://127.0.0.1/",\n'
        '    "nbd+unix:///?socket=/s&mode=0660",\n'
        "]\n"
    )


def test_a_policy_table_is_read_in_the_units_of_addresses(config_dir: Path) -> None:
    table = "[policy]\nresend_timeout = '500ms'\nbackoff_max = 2\nresends = 2\non_exhausted = 'freeze'\n"
    _put(config_dir, "arrays/p.toml", 'layout = "linear"\nnodes = ["/a/b"]\n' + table)
    assert load_array("p").policy == {
        "resend_timeout": 500_000_000,
        "backoff_max": 2_000_000_000,
        "resends": 2,
        "on_exhausted": "freeze",
    }


def test_a_written_policy_is_read_back_the_same_and_reads_like_one_written_by_hand(config_dir: Path) -> None:
    policy = {"resend_timeout": 500_000_000, "resends": 2, "on_exhausted": "freeze"}
    config = ArrayConfig("p", "linear", (parse_address("/a/b"),), policy=policy)
    written = create_array(config).read_text()
    assert written.endswith('\n[policy]\nresend_timeout = "500ms"\nresends = 2\non_exhausted = "freeze"\n')
    assert load_array("p") == config


def test_an_array_that_is_configured_is_not_overwritten(config_dir: Path) -> None:
    _put(config_dir, "arrays/pool.toml", WHOLE)
    with pytest.raises(Conflict, match="'pool' is configured already"):
        create_array(_config())
    assert (config_dir / "arrays/pool.toml").read_text() == WHOLE


def test_an_array_that_is_not_configured_is_not_found_and_a_near_one_is_named(config_dir: Path) -> None:
    _put(config_dir, "arrays/pool.toml", WHOLE)
    with pytest.raises(NotFound, match="No array named 'pol' is configured") as caught:
        load_array("pol")
    assert caught.value.advice == "Did you mean 'pool'?"
    with pytest.raises(NotFound) as caught:
        load_array("zzz")
    assert caught.value.advice == "There are: pool."


def test_without_any_configuration_the_folder_is_named(config_dir: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_export("a")
    assert str(config_dir / "exports") in caught.value.advice


START = 'layout = "mirror"\n\n'
NODES = 'nodes = ["/a/b",\n  "/a/c"]\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (START + NODES + "\n\nlayot = 1\n", "arrays/p.toml:7:1: unknown key 'layot'; did you mean 'layout'?"),
        (START + NODES + "zzz = 1\n", "arrays/p.toml:5:1: unknown key 'zzz'."),
        (START + NODES + "raw = 1\n", "arrays/p.toml:5:7: 'raw' must be true or false, not a whole number."),
        (
            START + NODES + "read_policy = 'fastest'\n",
            "arrays/p.toml:5:15: 'read_policy' may not be 'fastest'; there",
        ),
        (START + NODES + "chunk = '64X'\n", "arrays/p.toml:5:9: '64X' is not a size."),
        (START + NODES + "chunk = 0\n", "arrays/p.toml:5:9: A chunk of no bytes holds nothing."),
        (
            START + NODES + "chunk = true\n",
            "arrays/p.toml:5:9: 'chunk' must be a whole number or a text, not true or false.",
        ),
        (
            START + NODES + "listen = ['nbd://127.0.0.1',\n 'x']",
            "arrays/p.toml:6:2: 'x' is not an address to listen",
        ),
        ("layout = 'a/b'\n" + NODES, "arrays/p.toml:1:10: 'a/b' cannot be a name."),
        (NODES, "arrays/p.toml:1:1: 'layout' is missing."),
        (START + "nodes = []", "arrays/p.toml:3:9: an array needs at least one node."),
        (START + "nodes = ['/a/b',\n'dts://a/b']", "arrays/p.toml:4:1: 'dts' is not a scheme."),
        (START + "nodes = ['/a/b',\n'/a/b']", "arrays/p.toml:4:1: the node '/a/b' is listed twice."),
        (
            START + "nodes = ['/a/b',\n{adress = '/a/c'}]",
            "arrays/p.toml:4:2: unknown key 'adress'; did you mean 'ad",
        ),
        (START + "nodes = ['/a/b',\n{name = 'c'}]", "arrays/p.toml:4:1: 'address' is missing."),
        (
            START + "nodes = ['/a/b',\n\n7]",
            "arrays/p.toml:5:1: 'nodes' must be a text or a table, not a whole number.",
        ),
        (
            START + "[[nodes]]\naddress = '/a/b'\n[[nodes]]\nname = 'x'\naddress = 7",
            "arrays/p.toml:7:11: 'address' must be a text",
        ),
        (
            START + NODES + "[policy]\nresends = 1\nreesnds = 2",
            "arrays/p.toml:7:1: A policy has no key 'reesnds'.",
        ),
        (START + NODES + "[policy]\nname = 'x'", "arrays/p.toml:6:1: A policy has no key 'name'."),
        (
            START + NODES + "[policy]\nresend_timeout = 'soon'",
            "arrays/p.toml:6:18: resend_timeout=soon is wrong",
        ),
        (
            START + NODES + "[policy]\nresends = true",
            "arrays/p.toml:6:11: 'resends' must be a whole number or a text",
        ),
        (START + "[[nodes]]\naddress = '/a/b'\nname = '-x'", "arrays/p.toml:5:8: '-x' cannot be a name."),
        (
            START + "nodes = [{address = '/a/b', name = 'x'},\n{address = '/a/c', name = 'x'}]",
            "arrays/p.toml:4:1: two nodes are named 'x'.",
        ),
        (START + "nodes = [\n", "arrays/p.toml:3:10: "),
        (
            START + "nodes = ['/a/b'] x",
            "arrays/p.toml:3:18: Expected newline or end of document after a statement",
        ),
        (START + START, "arrays/p.toml:3:18: Cannot overwrite a value"),
    ],
)
def test_errors_in_an_array_file_name_the_place(config_dir: Path, text: str, complaint: str) -> None:
    _put(config_dir, "arrays/p.toml", text)
    with pytest.raises(UsageError) as caught:
        load_array("p")
    assert caught.value.what.startswith(complaint)
    assert caught.value.advice


BAD_ARRAY = """\
layot = "mirror"
nodes = ["dts://a/b", "/a/c", "/a/c", {name = "x"}]
chunk = "64X"
listen = ["nbd://127.0.0.1", "x", 7]
access = ["allow all", "deny me"]

[policy]
reesnds = 2
window = 0
backoff_min = "5s"
backoff_max = "1s"
"""


def test_all_that_is_wrong_in_a_file_is_found_each_at_its_place(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", BAD_ARRAY)
    file = TomlFile(config_dir / "arrays/p.toml")
    found = problems(file, lambda each: read_array("p", each), array_file.STAND_INS)
    assert sorted((each.place.line, each.place.column, each.complaint.split()[0]) for each in found) == [
        (1, 1, "'layout'"),
        (1, 1, "unknown"),
        (2, 10, "'dts'"),
        (2, 31, "the"),
        (2, 39, "'address'"),
        (3, 9, "'64X'"),
        (4, 30, "'x'"),
        (4, 35, "'listen'"),
        (5, 24, "'me'"),
        (8, 1, "A"),
        (9, 10, "window=0"),
        (10, 15, "backoff_min"),
    ]


def test_what_is_no_toml_has_one_problem(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", "layout = \nnodes = [\n")
    found = problems(
        TomlFile(config_dir / "arrays/p.toml"), lambda f: read_array("p", f), array_file.STAND_INS
    )
    assert [(each.place, each.steps) for each in found] == [(Place(1, 10), ())]


def test_a_file_without_a_problem_has_none(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", WHOLE)
    file = TomlFile(config_dir / "arrays/p.toml")
    assert problems(file, lambda each: read_array("p", each), array_file.STAND_INS) == []


def test_a_deleted_array_is_configured_no_more(config_dir: Path) -> None:
    create_array(_config())
    assert delete_array("pool") == config_dir / "arrays/pool.toml"
    with pytest.raises(NotFound):
        delete_array("pool")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"layout = '\xff'", "arrays/p.toml:1:11: The byte 0xff is no part of a text in UTF-8."),
        ("raw = true\n# für\xa0".encode() + b"\xe4", "arrays/p.toml:2:7: The byte 0xe4"),
        (b'\xef\xbb\xbflayout = "mirror"', "arrays/p.toml:1:1: It begins with a byte order mark."),
    ],
)
def test_a_file_that_is_no_plain_utf8_is_an_error_at_its_place(
    config_dir: Path, content: bytes, complaint: str
) -> None:
    _put(config_dir, "arrays/p.toml", "")
    (config_dir / "arrays/p.toml").write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(complaint)):
        load_array("p")


def test_the_same_memory_twice_is_two_nodes(config_dir: Path) -> None:
    _put(config_dir, "arrays/p.toml", START + "nodes = ['mem:1M', 'mem:1M']")
    assert len(load_array("p").nodes) == 2


def test_an_export_file_is_read(config_dir: Path) -> None:
    _put(
        config_dir,
        "exports/a.toml",
        'device = "/srv/a.img"\nsize = "10G"\nread_only = true\nlisten = ["dst://127.0.0.1?security=none"]\n',
    )
    assert load_export("a") == ExportConfig(
        "a",
        parse_address("/srv/a.img"),
        size=10 << 30,
        read_only=True,
        listen=(parse_listen("dst://127.0.0.1?security=none"),),
    )


def test_an_export_file_says_who_may_come_in_and_how(config_dir: Path) -> None:
    _put(
        config_dir,
        "exports/a.toml",
        'device = "/srv/a.img"\naccess = ["deny 10.1.2.3", "allow 10.0.0.0/8"]\n'
        'security = "chacha20poly1305"\nkey = "/k"\n',
    )
    config = load_export("a")
    assert [str(rule) for rule in config.access.rules] == ["deny 10.1.2.3/32", "allow 10.0.0.0/8"]
    assert (config.security, config.key) == ("chacha20poly1305", "/k")


def test_rules_for_addresses_of_an_array_are_written_as_they_are_read(config_dir: Path) -> None:
    rules = parse_rules(["deny 10.1.2.3/32", "allow all"])
    create_array(ArrayConfig("p", "linear", (parse_address("/a/b"),), access=rules))
    assert load_array("p").access == rules


def test_an_export_needs_only_a_device(config_dir: Path) -> None:
    _put(config_dir, "exports/a.toml", 'device = "mem:1M"')
    assert load_export("a") == ExportConfig("a", parse_address("mem:1M"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "exports/a.toml:1:1: 'device' is missing."),
        ('\ndevice = "mem:x"', "exports/a.toml:2:10: 'x' is not a size."),
        ('device = "/a/b"\nsize = -1', "exports/a.toml:2:8: '-1' is not a size."),
        (
            'device = "/a/b"\nreadonly = true',
            "exports/a.toml:2:1: unknown key 'readonly'; did you mean 'read_only'?",
        ),
        (
            'device = "/a/b"\naccess = ["allow all", "deny me"]',
            "exports/a.toml:2:24: 'me' in 'deny me' is not a network.",
        ),
        (
            'device = "/a/b"\nsecurity = "aes"',
            "exports/a.toml:2:12: 'security' may not be 'aes'; there are: aes256gcm, chacha20poly1305,"
            " checksum, none.",
        ),
        ('device = "/a/b"\nlisten = "nbd://a"', "exports/a.toml:2:10: 'listen' must be a list, not a text."),
    ],
)
def test_errors_in_an_export_file_name_the_place(config_dir: Path, text: str, complaint: str) -> None:
    _put(config_dir, "exports/a.toml", text)
    with pytest.raises(UsageError) as caught:
        load_export("a")
    assert caught.value.what == complaint


def test_a_written_array_file_has_nothing_that_was_not_given(config_dir: Path) -> None:
    path = create_array(ArrayConfig("p", "linear", (parse_address("/a/b"),)))
    assert path.read_text() == 'layout = "linear"\nnodes = [\n    "/a/b",\n]\n'


def test_a_file_that_cannot_be_read_is_a_clear_error(config_dir: Path) -> None:
    (config_dir / "arrays/p.toml").mkdir(parents=True)
    with pytest.raises(DsttoolError, match=r"Cannot read .*/arrays/p\.toml: Is a directory"):
        load_array("p")


def test_a_folder_that_cannot_be_made_is_a_clear_error(config_dir: Path) -> None:
    (config_dir / "arrays").touch()
    with pytest.raises(DsttoolError, match="arrays is not a folder"):
        create_array(_config())
