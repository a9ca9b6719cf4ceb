"""What commands answer in JSON is what the shipped schemas say, and nothing besides."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from dsttool.engine.vocabulary.schemas import ANSWERS, schema_of
from support.site import Site, wait_until
from support.write_schemas import FOLDER

MIRROR = ("--layout", "mirror", "--raw")


def strict(schema: Any) -> Any:
    """The schema, allowing only the properties it names: what a command answers has to be described."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made["additionalProperties"] = False
    return made


def check(answer: Any, name: str | None = None) -> None:
    """Whether a whole answer is as its schema says."""
    said = answer["schema"]
    assert said.startswith("dsttool.")
    assert said.endswith("/1")
    found = said[len("dsttool.") : -2]
    assert name in (None, found)
    jsonschema.Draft202012Validator(strict(schema_of(found))).validate(answer)


def check_line(line: Any, name: str) -> None:
    """Whether one of an answer's lines is as the schema says."""
    if "schema" in line and line["schema"] == f"dsttool.{name}/1":
        check(line, name)
        return
    schema = strict(schema_of(name))
    of_lines = {"$defs": schema["$defs"], **schema["lines"]}
    jsonschema.Draft202012Validator(of_lines).validate(line)


@pytest.fixture
def running(site: Site) -> Iterator[Site]:
    """Something of everything: exports, an array over one of them, keys, an authorised client."""
    for name in ("a", "b"):
        site.export("mem:1M", name, "--security", "none")
    site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean")
    site.dsttool("array", "create", "kept", *MIRROR, "mem:1M", "mem:1M?name=b")
    site.dsttool("key", "generate")
    yield site
    site.env.pop("DSTTOOL_HOST", None)


READING = [
    ("status", "status"),
    ("status", "status", "pool"),
    ("uri", "uri", "pool"),
    ("iostat", "iostat"),
    ("events", "events"),
    ("transactions", "tx", "list"),
    ("transactions", "tx", "list", "pool/n0"),
    ("nodes", "node", "list", "pool"),
    ("jobs", "resync", "status", "pool"),
    ("policy", "policy", "show", "pool"),
    ("arrays", "array", "list"),
    ("array", "array", "show", "pool"),
    ("array", "array", "show", "kept"),
    ("daemons", "daemon", "list"),
    ("tuning", "daemon", "tune", "pool"),
    ("waited", "wait", "pool", "--for", "clean"),
    ("info", "info", "mem:1M"),
    ("info", "info", "a"),
    ("bench", "bench", "mem:1M", "--time", "50ms"),
    ("cp", "cp", "mem:1M", "mem:1M"),
    ("key_files", "key", "show"),
    ("keys", "key", "list"),
    ("config", "config", "show"),
    ("config", "config", "show", "array", "kept"),
    ("problems", "config", "check"),
    ("config_paths", "config", "path"),
    ("version", "version"),
    ("schemas", "schema"),
]


def test_every_answer_of_a_command_that_reads_is_as_its_schema_says(running: Site) -> None:
    for name, *words in READING:
        check(running.json(*words), name)
        if ANSWERS[name].lines:
            for line in running.dsttool(*words, "-o", "jsonl").stdout.splitlines():
                check_line(json.loads(line), name)


def test_every_answer_of_a_command_that_changes_something_is_as_its_schema_says(running: Site) -> None:
    public = running.json("key", "show")["keys"][0]["public"]
    image = running.path("new.img")
    changing = [
        ("nodes", "node", "suspend", "pool", "n1"),
        ("nodes", "node", "resume", "pool", "n1"),
        ("jobs", "resync", "pause", "pool"),
        ("jobs", "resync", "limit", "pool", "--ceiling", "1G"),
        ("jobs", "resync", "start", "pool"),
        ("policy", "policy", "set", "pool", "resends=3"),
        ("key_file", "key", "generate", "--shared", running.path("s.key")),
        ("key", "key", "authorize", public, "--export", "a"),
        ("keys", "key", "list"),
        ("key", "key", "revoke", public),
        ("created", "array", "create", "new", *MIRROR, "mem:1M", "mem:1M?name=b"),
        ("ready", "array", "up", "new"),
        ("ready", "export", image, "--size", "1M", "--name", "x", "-d"),
        ("stopped", "array", "down", "new"),
        ("stopped", "daemon", "stop", "x"),
        ("deleted", "array", "delete", "new", "--confirm", "new"),
    ]
    for name, *words in changing:
        check(running.json(*words), name)


def test_every_error_in_json_is_as_its_schema_says(site: Site) -> None:
    for words in (("status", "nope"), ("stauts",), ("info",), ("policy", "set", "x", "y")):
        done = site.dsttool(*words, "--json", code=None)
        assert done.stdout == ""
        check(json.loads(done.stderr), "error")


def test_a_recording_and_the_frames_in_it_are_as_the_schemas_say(running: Site) -> None:
    file = running.path("r")
    with running.begun("record", file, "--json") as recorder:
        wait_until(lambda: file.exists() and b'"delta"' in file.read_bytes(), "a change is recorded")
        recorder.send_signal(signal.SIGINT)
        told, _ = recorder.communicate(timeout=60)
    check(json.loads(told), "recorded")
    header, *lines = (json.loads(line) for line in file.read_text().splitlines())
    check(header, "recording")
    for line in lines:
        check_line(line, "recording")
        check(line["frame"], "stream")
    assert {line["frame"]["type"] for line in lines} >= {"hello", "snapshot", "delta"}


def test_events_that_are_followed_are_lines_as_the_schema_says(site: Site) -> None:
    with site.begun("events", "--follow", "-o", "jsonl") as follower:
        assert follower.stdout is not None
        site.dsttool("export", "mem:1M", "--name", "a", "-d")
        line = json.loads(follower.stdout.readline())
        check_line(line, "events")
        assert (line["daemon"], line["place"]) == ("a", "local")
    site.dsttool("daemon", "stop", "a")


def test_schema_prints_what_is_shipped(site: Site) -> None:
    names = site.dsttool("schema").stdout.split()
    assert names == sorted(ANSWERS)
    assert site.dsttool("schema", "dsttool.status/1").stdout == (FOLDER / "status-1.json").read_text()
    assert "Did you mean `dsttool schema status`?" in site.dsttool("schema", "statsu", code=3).stderr
