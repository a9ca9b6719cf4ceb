"""What the commands that ask a running daemon share: finding it, and saying what is not there."""

from typing import Any, Final

from dsttool.cli.settings import Settings
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.control import client
from dsttool.engine.vocabulary.errors import Conflict, NotFound

# What a daemon answers after the time that its command was given: late is better than a wrong reason.
GRACE_SECONDS: Final = 5.0


def ask(settings: Settings, name: str, command: str, /, **arguments: Any) -> Any:
    """The answer of the daemon that serves `name`, or the error it answers with."""
    with connect(settings, name) as daemon:
        return daemon.call(command, **arguments)


def ask_array(settings: Settings, name: str, command: str, /, **arguments: Any) -> Any:
    """As `ask`, of an array. Conflict if it is none."""
    with connect_array(settings, name) as daemon:
        return daemon.call(command, **arguments)


def connect(settings: Settings, name: str) -> client.Client:
    """A connection to the daemon that serves `name`. Raises NotFound, Unreachable."""
    check_name(name)
    timeout = settings.timeout or client.ANSWER_TIMEOUT
    try:
        return client.Client(client.find(paths.runtime_dir(), name, timeout), timeout)
    except NotFound as error:
        raise _named(name, error) from None


def connect_array(settings: Settings, name: str) -> client.Client:
    """As `connect`, to an array's daemon. Conflict if it is none."""
    daemon = connect(settings, name)
    try:
        kind = daemon.call("hello")["kind"]
        if kind != "array":
            raise Conflict(f"{name} is an {kind}, and has no members.", f"See `dsttool status {name}`.")
    except BaseException:
        daemon.close()
        raise
    return daemon


def split_node(text: str) -> tuple[str, str | None]:
    """ARRAY or ARRAY/NODE. UsageError if either cannot be a name."""
    array, slash, node = text.partition("/")
    check_name(array)
    return array, check_name(node) if slash else None


def _named(name: str, error: NotFound) -> NotFound:
    """The error, knowing what is configured."""
    if name in paths.array_names():
        return NotFound(f"The array {name} is configured, but not up.", f"Start it: dsttool array up {name}")
    if name in paths.export_names():
        return NotFound(
            f"The export {name} is configured, but not running.", f"Start it: dsttool export -d {name}"
        )
    return error
