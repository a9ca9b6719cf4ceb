"""What commands that ask running daemons share: which machine's, finding one, saying what is not there."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from dsttool.cli.settings import Settings
from dsttool.cli.signals import terminable
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.control import client, gathering
from dsttool.engine.control.place import LOCAL, Local, Place
from dsttool.engine.vocabulary.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from dsttool.engine.vocabulary.status import Status

# What a daemon answers after the time that its command was given: late is better than a wrong reason.
GRACE_SECONDS: Final = 5.0


@contextmanager
def places(settings: Settings, *, prompts: bool = True) -> Iterator[list[Place]]:
    """The machines to look at: those of --host, else this one. Their connections end with the block.

    prompts: whether ssh may ask at the terminal, which must not be a screen then. One that is a screen ends
    in order by itself; here SIGTERM would leave ssh behind while it connects.
    """
    with ExitStack() as stack:
        made: list[Place] = []
        if settings.hosts and prompts:
            stack.enter_context(terminable())
        for text in dict.fromkeys(settings.hosts):
            from dsttool.engine.control.remote import CONNECT_TIMEOUT, parse_place

            asks, patience = prompts and not settings.no_input, settings.timeout or CONNECT_TIMEOUT
            made.append(parse_place(text, paths.runtime_dir(), prompts=asks, patience=patience))
            stack.callback(made[-1].close)
        yield made or [Local(paths.runtime_dir())]


def reach(chosen: Sequence[Place]) -> None:
    """Wait until the machine is reached that alone is looked at. Raises DsttoolError if it cannot be: without
    an end it would be tried again, and no login succeed. Whoever looks at several sees the others meanwhile.
    """
    if len(chosen) == 1:
        chosen[0].daemons()


@contextmanager
def place(settings: Settings) -> Iterator[Place]:
    """As `places`, for a command about one machine. UsageError if there are several."""
    if len(settings.hosts) > 1:
        raise UsageError(
            f"This is about one machine, and --host says {' and '.join(settings.hosts)}.", "Name one of them."
        )
    with places(settings) as (chosen,):
        yield chosen


def is_here(settings: Settings) -> bool:
    """Whether this machine is meant, so that its configuration says what there could be."""
    return not settings.hosts or settings.hosts == (LOCAL,)


def gather(settings: Settings, name: str | None = None) -> "Status":
    """The status of everything that runs on that machine, `name` among it; see gathering.gather."""
    with place(settings) as chosen:
        return gathering.gather(chosen, settings.timeout or client.ANSWER_TIMEOUT, name)


def ask(settings: Settings, name: str, command: str, /, **arguments: Any) -> Any:
    """The answer of the daemon that serves `name`, or the error it answers with."""
    with connect(settings, name) as daemon:
        return daemon.call(command, **arguments)


def ask_array(settings: Settings, name: str, command: str, /, **arguments: Any) -> Any:
    """As `ask`, of an array. Conflict if it is none."""
    with connect_array(settings, name) as daemon:
        return daemon.call(command, **arguments)


@contextmanager
def connect(settings: Settings, name: str) -> Iterator[client.Client]:
    """A connection to the daemon that serves `name`. Raises NotFound, Unreachable."""
    check_name(name)
    timeout = settings.timeout or client.ANSWER_TIMEOUT
    with place(settings) as chosen:
        try:
            daemon = chosen.connect(gathering.find(chosen, name, timeout), timeout)
        except NotFound as error:
            raise configured(settings, name, error) from None
        with daemon:
            yield daemon


@contextmanager
def connect_array(settings: Settings, name: str) -> Iterator[client.Client]:
    """As `connect`, to an array's daemon. Conflict if it is none."""
    with connect(settings, name) as daemon:
        kind = daemon.call("hello")["kind"]
        if kind != "array":
            raise Conflict(f"{name} is an {kind}, and has no members.", f"See `dsttool status {name}`.")
        yield daemon


def split_node(text: str) -> tuple[str, str | None]:
    """ARRAY or ARRAY/NODE. UsageError if either cannot be a name."""
    array, slash, node = text.partition("/")
    check_name(array)
    return array, check_name(node) if slash else None


def configured(settings: Settings, name: str, error: NotFound) -> NotFound:
    """The error, knowing what is configured, where that is this machine's configuration."""
    if not is_here(settings):
        return error
    if name in paths.array_names():
        return NotFound(f"The array {name} is configured, but not up.", f"Start it: dsttool array up {name}")
    if name in paths.export_names():
        return NotFound(
            f"The export {name} is configured, but not running.", f"Start it: dsttool export -d {name}"
        )
    return error
