"""Every error is one sentence saying what is wrong and one saying what to do, with its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.site import Done, Site


def check_sentences(done: Done, code: int) -> tuple[str, str]:
    """What is wrong, and what to do, as said on stderr; and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    what, advice = done.stderr.rstrip("\n").split("\n")
    assert what.startswith("error: ")
    assert what.endswith((".", "?"))
    assert advice.endswith((".", "?")) or "`" in advice or ":" in advice
    return what.removeprefix("error: "), advice


CASES = [
    (("stauts",), 2, "no command `dsttool stauts`", "Did you mean `dsttool status`?"),
    (("array", "craete"), 2, "no command `dsttool array craete`", "Did you mean `dsttool array create`?"),
    (("zzz",), 2, "no command", "`dsttool --help` lists the commands."),
    (("status", "--jsno"), 2, "no option --jsno", "Did you mean --json?"),
    (("status", "-o", "xml"), 2, "'xml' is not one of", "dsttool status --help"),
    (("status", "--timeout", "soon"), 2, "'soon' is not a duration", "--help"),
    (("export",), 2, "Missing argument 'DEVICE...'", "dsttool export --help"),
    (("export", "nothing"), 3, "no file, no configured export and nothing running", "--size"),
    (("export", "/no/such/file"), 3, "Cannot open /no/such/file: No such file", "--size"),
    (("export", "./new", "--size", "0"), 2, "no bytes", "--size 1G"),
    (("info", "/no/such/file"), 3, "Cannot open /no/such/file: No such file", "Check the path."),
    (("export", "mem:1M", "--size", "2M"), 2, "--size is for files", "Leave it out"),
    (("export", "mem:1X"), 2, "'1X' is not a size", "64K"),
    (("export", "mem:1M", "--name", "a/b"), 2, "'a/b' cannot be a name", "letters"),
    (("export", "mem:1M", "--name", "a", "--name", "b"), 2, "2 names for 1 devices", "--name"),
    (("export", "mem:1M", "mem:2M", "--name", "x", "--name", "x"), 2, "same name", "--name"),
    (("export", "mem:1M", "--listen", "here"), 2, "'here' is not an address to listen on", "nbd+unix"),
    (("export", "mem:1M", "--listen", "nbd://0.0.0.0"), 6, "offer data to other machines", "security=none"),
    (("info", "dst://127.0.0.1/a"), 2, "does not say with which keys", "security=none"),
    (("export", "mem:1M", "--security", "aes"), 2, "'aes' is none of none, checksum,", ""),
    (("export", "mem:1M", "--access", "allow me"), 2, "'me' in 'allow me' is not a network", "10.0.0.0/8"),
    (("status", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("uri", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("daemon", "stop", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("logs", "pool"), 3, "Nothing called pool is running", "dsttool status"),
]


@pytest.mark.parametrize(("arguments", "code", "what", "advice"), CASES, ids=[" ".join(c[0]) for c in CASES])
def test_an_error_says_what_is_wrong_and_what_to_do(
    site: Site, arguments: tuple[str, ...], code: int, what: str, advice: str
) -> None:
    said, todo = check_sentences(site.dsttool(*arguments, code=None), code)
    assert what in said
    assert advice in todo


def test_with_json_an_error_is_an_object_on_stderr(site: Site) -> None:
    for arguments in (("status", "pool", "--json"), ("--json", "status", "pool")):
        done = site.dsttool(*arguments, code=3)
        assert done.stdout == ""
        error = json.loads(done.stderr)
        assert error["schema"] == "dsttool.error/1"
        assert error["error"]["exit_code"] == 3
        assert error["error"]["what"] == "Nothing called pool is running."


def test_a_traceback_only_shows_with_two_v(site: Site) -> None:
    assert "Traceback" not in site.dsttool("status", "pool", "-v", code=3).stderr
    assert "Traceback" in site.dsttool("status", "pool", "-vv", code=3).stderr
    assert "Traceback" in site.dsttool("-vv", "status", "pool", code=3).stderr


def test_a_reader_that_leaves_is_no_error_to_explain(site: Site) -> None:
    command = [sys.executable, "-m", "dsttool", "version"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=site.env)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert said == b""


def test_a_runtime_folder_that_others_may_write_to_is_refused(site: Site) -> None:
    runtime = Path(site.env["DSTTOOL_RUNTIME_DIR"])
    runtime.mkdir()
    runtime.chmod(0o777)
    check_sentences(site.dsttool("export", "mem:1M", code=None), 5)


@pytest.mark.parametrize("group", [(), ("array",), ("daemon",)])
def test_a_group_without_a_command_shows_its_help_and_is_a_usage_error(
    site: Site, group: tuple[str, ...]
) -> None:
    done = site.dsttool(*group, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(" ".join(("Usage: dsttool", *group)))
    assert "error:" not in done.stderr
