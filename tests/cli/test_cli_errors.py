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
    (("status", "--bogus"), 2, "no option --bogus", "See `dsttool status --help`."),
    (("status", ""), 2, "'' cannot be a name", "letters"),
    (("uri", ""), 2, "'' cannot be a name", "letters"),
    (("iostat", ""), 2, "'' cannot be a name", "letters"),
    (("iostat", "pool/"), 2, "'' cannot be a name", "letters"),
    (("events", ""), 2, "'' cannot be a name", "letters"),
    (("doctor", "a b"), 2, "'a b' cannot be a name", "letters"),
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
    (("config", "check", "/etc/nosuch.toml"), 3, "There is no file /etc/nosuch.toml", "dsttool config path"),
    (("config", "show", "nothing"), 2, "Invalid value for KIND: 'nothing' is not one of", "--help"),
    (("completion", "tcsh"), 2, "Invalid value for SHELL: 'tcsh' is not one of", "--help"),
    (("info", ""), 2, "'' is not an address", "dst://"),
    (("cp", "mem:1M", "./nofolder/new"), 3, "There is no folder", "Make it"),
    (("export", "mem:1M", "--access", "allow me"), 2, "'me' in 'allow me' is not a network", "10.0.0.0/8"),
    (("status", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("uri", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("daemon", "stop", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("logs", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("status", "--watch", "soon"), 2, "'soon' is not a duration", "500ms"),
    (("status", "a", "b"), 2, "Got unexpected extra argument", "dsttool status --help"),
    (("status", "--host", "box"), 2, "'box' is not the address of a machine", "ssh://"),
    (("status", "--host", "ssh://-o"), 2, "cannot be a host", "~/.ssh/config"),
    (("iostat", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("iostat", "0"), 2, "too short a time", "1 or more"),
    (("iostat", "1", "many"), 2, "'many' is no number of reports", "1 or more"),
    (("events", "--level", "loud"), 2, "'loud' is not one of", "dsttool events --help"),
    (
        ("events", "pool"),
        3,
        "Nothing called pool is running, and no event of it is remembered",
        "dsttool status",
    ),
    (("events", "pool/n0", "-o", "plain"), 3, "Nothing called pool is running", "dsttool status"),
    (("events", "--since", "then"), 2, "no time and no number of an event", "10m"),
    (("tx", "list", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("tx", "list", "--filter", "stat:resend"), 2, "begins with no field", "Did you mean state:resend?"),
    (("tx", "list", "--filter", "age>old"), 2, "'old' is no duration", "age>1s"),
    (("tx", "list", "pool/a/b"), 2, "'a/b' cannot be a name", "letters"),
    (("tx", "show", "pool", "x1"), 2, "'x1' is no number of a transaction", "dsttool tx list pool"),
    (("tx", "show", "pool"), 2, "Missing argument 'ID'", "dsttool tx show --help"),
    (("wait", "pool"), 2, "Missing option '--for'", "dsttool wait --help"),
    (("wait", "pool", "--for", "ever"), 2, "'ever' is not one of", "dsttool wait --help"),
    (("wait", "pool", "--for", "clean"), 3, "Nothing called pool is running", "dsttool status"),
    (
        ("wait", "pool", "--for", "up", "-q", "--timeout", "10ms"),
        7,
        "did not come up within",
        "array up pool",
    ),
    (("wait", "-x", "--for", "up"), 2, "no option -x", "dsttool wait --help"),
    (("node", "list", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("node", "suspend", "pool"), 2, "Missing argument 'NODE'", "dsttool node suspend --help"),
    (("node", "suspend", "pool", "n0", "--for", "0s"), 2, "longer than nothing", "--for 10m"),
    (("node", "remuse", "pool", "n0"), 2, "no command", "Did you mean `dsttool node resume`?"),
    (("resync", "limit", "pool"), 2, "There is nothing to set", "--floor"),
    (("resync", "limit", "pool", "--floor", "x"), 2, "'x' is not a size", "64K"),
    (("resync", "pause", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("policy", "show", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("policy", "set", "pool"), 2, "Missing argument 'KEY=VALUE...'", "dsttool policy set --help"),
    (("policy", "set", "pool", "resends"), 2, "'resends' sets nothing", "KEY=VALUE"),
    (("array", "show", "pool"), 3, "No array named 'pool' is configured", "None is configured"),
    (("array", "down", "pool"), 3, "Nothing called pool is running", "dsttool status"),
    (("array", "down", "a/b"), 2, "'a/b' cannot be a name", "letters"),
    (("array", "up"), 3, "No array is configured", "dsttool array create"),
    (("array", "up", "pool"), 3, "No array named 'pool' is configured", "None is configured"),
    (("array", "up", "/dev/sda"), 2, "finding arrays by the superblocks", "--raw"),
    (("array", "up", "p", "--layout", "mirror"), 2, "the first word is the array's name", "--raw NODE NODE"),
    (("array", "up", "p", "--layout", "mirror", "mem:1M"), 2, "superblocks", "--raw"),
    (("array", "up", "p", "--layout", "morror", "--raw", "mem:1M"), 2, "morror", "mirror"),
    (("array", "up", "p", "--layout", "mirror", "--raw", "/no/a", "/no/b"), 3, "p cannot come up", "Bring"),
    (("array", "up", "--confirm", "x"), 2, "--confirm is for --takeover", "Leave it out"),
    (("array", "create", "p", "--layout", "mirror", "--raw"), 2, "at least one node", "--invite-file"),
    (("array", "create", "p", "mem:1M"), 2, "Missing option '--layout'", "dsttool array create --help"),
    (("array", "create", "-p", "--layout", "mirror"), 2, "no option -p", "dsttool array create --help"),
    (("uri",), 2, "Missing argument 'NAME'", "dsttool uri --help"),
    (("info", "dst://"), 2, "dst://", ""),
    (("info", "gopher://x"), 2, "gopher", ""),
    (("info", "nbd+unix:///?socket=/no/s"), 4, "/no/s", ""),
    (("cp", "/no/such", "mem:1M"), 3, "Cannot open /no/such: No such file", "Check the path."),
    (("cp", "mem:2M", "mem:1M"), 8, "it does not fit", "at least as large"),
    (("cp", "mem:1M"), 2, "Missing argument 'DST'", "dsttool cp --help"),
    (("bench", "mem:1M", "--rw", "write"), 6, "This overwrites what is at mem:1M", "--yes"),
    (("bench", "mem:1M", "--time", "0s"), 2, "measures nothing", "--time 5s"),
    (("bench", "mem:1M", "--depth", "0"), 2, "0", ""),
    (("bench", "mem:1M", "--bs", "0"), 2, "0", ""),
    (("key", "generate", ""), 2, "The name of a file is empty", "Give its path"),
    (("key", "generate", "--shared", ""), 2, "The name of a file is empty", "Give its path"),
    (("key", "show", ""), 2, "The name of a file is empty", "Give its path"),
    (("record", "", "--for", "1s", "-y"), 2, "The name of a file is empty", "Give its path"),
    (("config", "check", ""), 2, "The name of a file is empty", "Give its path"),
    (("tui", "--replay", ""), 2, "The name of a file for --replay is empty", "Give its path"),
    (("export", "mem:1M", "--metrics", ""), 2, "'' names no port to answer at", "127.0.0.1:9100"),
    (("export", "mem:1M", "--key", ""), 2, "The name of a file for --key is empty", "Give its path"),
    (
        ("array", "create", "p", "--layout", "mirror", "--raw", "--invite-file", ""),
        2,
        "The name of a file for --invite-file is empty",
        "path",
    ),
    (("key", "show", "/no/key"), 3, "There is no key file /no/key", "dsttool key generate"),
    (("key", "generate", "--shared"), 2, "A shared key needs a file", "key generate --shared FILE"),
    (("key", "authorize", "abc"), 2, "'abc' is not a public key", "dsttool key show"),
    (("key", "revoke", "abc"), 3, "abc", ""),
    (("daemon", "stop"), 2, "Missing argument 'NAME...'", "dsttool daemon stop --help"),
    (("daemon", "tune", "pool", "--crypto-threads", "-1"), 2, "-1 is not in the range", "--help"),
    (("record",), 2, "Missing argument 'FILE'", "dsttool record --help"),
    (("record", "/no/dir/file", "--for", "1s"), 3, "Cannot write /no/dir/file", "Check the path."),
    (("record", "x", "--max-size", "big"), 2, "'big' is not a size", "64K"),
    (("schema", "statsu"), 3, "There is no schema statsu", "Did you mean `dsttool schema status`?"),
    (("ctl",), 2, "needs --stdio", "--host"),
    (("tui",), 2, "needs a terminal", "status --watch"),
    (("--dry-run", "config", "path"), 2, "cannot say what it would do", "Leave out --dry-run"),
    (("--host", "ssh://box", "cp", "mem:1M", "mem:1M"), 2, "on this machine only", "$DSTTOOL_HOST"),
    (("config", "show", "array"), 2, "Which array?", "dsttool config show array NAME"),
    (("array", "delete", "pool"), 3, "No array named 'pool' is configured", "None is configured"),
]


@pytest.mark.parametrize(("arguments", "code", "what", "advice"), CASES, ids=[" ".join(c[0]) for c in CASES])
def test_an_error_says_what_is_wrong_and_what_to_do(
    site: Site, arguments: tuple[str, ...], code: int, what: str, advice: str
) -> None:
    done = site.dsttool(*arguments, code=None)
    said, todo = check_sentences(done, code)
    assert what in said
    assert advice in todo
    assert done.stdout == ""
    assert not site.processes()


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
