"""Messages of the control socket: one JSON object a line, both ways, schema "dsttool.control/1".

    > {"schema": "dsttool.control/1", "command": "status", "arguments": {}}
    < {"schema": "dsttool.control/1", "ok": true, "result": {…}}
    < {"schema": "dsttool.control/1", "ok": false, "error": {"what": …, "advice": …, "exit_code": 3}}

A connection may carry any number of commands, one after the other; answers come in order. The
first word of a conversation may be `hello`, which names the daemon. The command `watch` makes the
connection a stream of frames (vocabulary.stream). A line may say what it relies on:

    "expect": {"instance": …, "name": …, "good": [MEMBER, …]}

The daemon refuses the command with a Conflict if it is another instance, that is, was started again
since, or if one of those members of the array of that name is no good copy any more (see
vocabulary.status.good_members). Whatever else has changed since somebody decided, what they were told of
the copies that are left is still true.

Only the standard library is imported here: commands that merely ask must start fast.
"""

import json
from typing import Any, Final, NamedTuple, TypedDict, cast

from dsttool.engine.vocabulary import errors
from dsttool.engine.vocabulary.texts import to_json

SCHEMA: Final = "dsttool.control/1"

# A command is a name and a few words; a longer line is not one.
COMMAND_BYTES_MAX: Final = 64 << 10
# A status of a thousand sessions is about 200 KiB; what is larger is a fault, not an answer.
ANSWER_BYTES_MAX: Final = 8 << 20

_CLASSES: Final = {
    kind.exit_code: kind
    for kind in (
        errors.DsttoolError,
        errors.UsageError,
        errors.NotFound,
        errors.Unreachable,
        errors.Forbidden,
        errors.Unsafe,
        errors.TimedOut,
        errors.Conflict,
    )
}


class Expect(TypedDict, total=False):
    """What a command relies on; each may be missing or None. good: members of the array `name`."""

    instance: str | None
    name: str | None
    good: list[str] | None


class Command(NamedTuple):
    """What a client asks for. expect: None if it relies on nothing."""

    name: str
    arguments: dict[str, Any]
    expect: Expect | None


def pack_command(command: str, arguments: dict[str, Any], expect: Expect | None = None) -> bytes:
    """One line that asks for `command`."""
    message = {"schema": SCHEMA, "command": command, "arguments": arguments}
    message |= {} if expect is None else {"expect": expect}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def parse_command(line: bytes) -> Command:
    """The command in a line a client sent. Raises ProtocolError."""
    message = _object(line)
    command = message.get("command")
    arguments = message.get("arguments", {})
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise errors.ProtocolError("The control message has no command, or arguments that are not an object.")
    return Command(command, arguments, _expect(message.get("expect")))


def _expect(value: Any) -> Expect | None:
    if value is None:
        return None
    kinds = {"instance": str, "name": str, "good": list}
    if (
        not isinstance(value, dict)
        or not all(key in kinds and (each is None or type(each) is kinds[key]) for key, each in value.items())
        or not all(isinstance(name, str) for name in value.get("good") or ())
    ):
        # What is not understood must not be taken for granted.
        raise errors.ProtocolError("The control message expects something that this daemon does not know.")
    return cast(Expect, value)


def pack_result(result: Any) -> bytes:
    """One line that answers a command."""
    return _line({"schema": SCHEMA, "ok": True, "result": result})


def pack_failure(error: errors.DsttoolError) -> bytes:
    """One line that refuses a command."""
    return _line({"schema": SCHEMA, "ok": False, "error": failure_to_json(error)})


def parse_answer(line: bytes) -> Any:
    """The result in a daemon's line. Raises the error it carries, or ProtocolError."""
    message = _object(line)
    if message.get("ok") is True:
        return message.get("result")
    raise failure_from_json(message.get("error"))


def failure_to_json(error: errors.DsttoolError) -> dict[str, Any]:
    """An error as it travels from a daemon to the command that waits for it."""
    return {"what": error.what, "advice": error.advice, "exit_code": error.exit_code}


def failure_from_json(value: Any) -> errors.DsttoolError:
    """The error that `failure_to_json` packed; any other value is itself an error."""
    if not isinstance(value, dict) or not isinstance(value.get("what"), str):
        return errors.ProtocolError("The daemon failed and did not say why.", "Look into its log.")
    kind = _CLASSES.get(value.get("exit_code", 1), errors.DsttoolError)
    return kind(value["what"], str(value.get("advice", "")))


def _line(message: dict[str, Any]) -> bytes:
    return to_json(message).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise errors.ProtocolError("The control message is not JSON.") from None
    if not isinstance(message, dict):
        raise errors.ProtocolError("The control message is not a JSON object.")
    if message.get("schema") != SCHEMA:
        raise errors.ProtocolError(
            f"The control message has schema {message.get('schema')!r}, not {SCHEMA!r}.",
            "Use the same release of dsttool for the daemon and the command.",
        )
    return message
