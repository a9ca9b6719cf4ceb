"""dsttool.toml: what holds for all arrays and daemons of a machine."""

import os
from pathlib import Path

import pytest

from dsttool.engine.config import protection
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.keys import format_key, generate_shared
from dsttool.engine.config.listen import parse_listen
from dsttool.engine.config.machine_file import STAND_INS, MachineConfig, load_machine, read_machine
from dsttool.engine.config.toml_file import TomlFile, problems
from dsttool.engine.vocabulary.errors import NotFound, UsageError

WHOLE = """\
[policy]
resends = 2
resend_timeout = "500ms"

[daemon]
crypto_threads = 0
log_format = "json"

[keys]
lab = "keys/lab.key"
far = "/far.key"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path))
    return tmp_path / "dsttool.toml"


def test_without_a_file_everything_has_its_default(machine: Path) -> None:
    assert load_machine() == MachineConfig()


def test_a_whole_file_is_read(machine: Path) -> None:
    machine.write_text(WHOLE)
    assert load_machine() == MachineConfig(
        {"resends": 2, "resend_timeout": 500_000_000},
        0,
        "json",
        {"lab": machine.parent / "keys/lab.key", "far": Path("/far.key")},
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[daemon]\ncrypto_thread = 1", ":2:1: unknown key 'crypto_thread'; did you mean 'crypto_threads'?"),
        ("[daemon]\ncrypto_threads = 65", ":2:18: 65 is not a number from 0 to 64."),
        (
            "[daemon]\nlog_format = 'xml'",
            ":2:14: 'log_format' may not be 'xml'; there are: journal, json, text.",
        ),
        ("[deamon]", ":1:1: unknown key 'deamon'; did you mean 'daemon'?"),
        ("[policy]\nresend = 1", ":2:1: A policy has no key 'resend'."),
        ("[keys]\n'a b' = 'x'", ":2:9: 'a b' cannot be a name."),
        ("[keys]\na = 7", ":2:5: 'a' must be the path of a key file."),
        ("[keys]\na = ''", ":2:5: 'a' must be the path of a key file."),
    ],
)
def test_errors_name_the_place(machine: Path, text: str, complaint: str) -> None:
    machine.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_machine()
    assert caught.value.what.endswith(f"/{machine.name}{complaint}")
    assert caught.value.advice


def test_all_that_is_wrong_is_found(machine: Path) -> None:
    machine.write_text("[daemon]\nx = 1\ncrypto_threads = 'a'\n[keys]\na = 1\nb = 2\n[policy]\nwindow = 0\n")
    found = problems(TomlFile(machine), read_machine, STAND_INS)
    assert sorted(each.place.line for each in found) == [2, 3, 5, 6, 8]


def test_a_named_key_may_be_used_in_addresses_and_listeners(machine: Path, tmp_path: Path) -> None:
    key = generate_shared()
    file = tmp_path / "lab.key"
    file.write_text(format_key(key))
    file.chmod(0o600)
    machine.write_text(f"[keys]\nlab = '{file}'\n")
    address = parse_address("dst://a/x?key=lab").absolute(Path("/elsewhere"))
    listen = parse_listen("dst://127.0.0.1?key=lab").absolute(Path("/elsewhere"))
    assert (address.options["key"], listen.key) == ("lab", "lab")
    assert protection.of_address(address).name == "aes256gcm"
    assert protection.of_listen(listen, lambda _: False)[0].name == "aes256gcm"


def test_a_word_that_names_no_key_is_a_file(machine: Path) -> None:
    machine.write_text(WHOLE)
    address = parse_address("dst://a/x?key=other").absolute(Path("/elsewhere"))
    assert address.options["key"] == "/elsewhere/other"
    with pytest.raises(NotFound, match="There is no key file /elsewhere/other"):
        protection.of_address(address)


def test_a_pipe_in_the_place_of_the_file_is_refused_and_not_waited_for(machine: Path) -> None:
    os.mkfifo(machine)
    with pytest.raises(UsageError, match="not a regular file"):
        load_machine()


def test_a_file_without_an_end_is_refused(machine: Path) -> None:
    machine.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="not a regular file"):
        load_machine()
    machine.unlink()
    machine.touch()
    os.truncate(machine, 1 << 40)
    with pytest.raises(UsageError, match="longer than"):
        load_machine()
