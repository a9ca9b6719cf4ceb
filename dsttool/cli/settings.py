"""Options that work before, between and after the words of a command, and what they amount to.

Click takes a group's options only before the subcommand. So the root, every group and every command
declare the same options; each writes what was given into one Settings object, the later one winning.
"""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from dsttool.engine.config.units import parse_duration
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError

FORMATS: Final = ("table", "plain", "json", "jsonl")
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the shared options say. `timeout` in seconds, None for a command's own default.

    hosts: the machines to ask, as ssh:// addresses or "local"; none for this one.
    """

    format: str = "table"
    quiet: bool = False
    verbose: int = 0
    color: str = "auto"
    no_input: bool = False
    yes: bool = False
    timeout: float | None = None
    dry_run: bool = False
    hosts: tuple[str, ...] = ()

    @property
    def json(self) -> bool:
        """Whether answers, and errors, are JSON."""
        return self.format in ("json", "jsonl")

    def coloured(self, stream: Any = None) -> bool:
        """Whether a stream (stdout) takes colours: --color, else NO_COLOR, FORCE_COLOR, else a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return bool((stream or sys.stdout).isatty()) and os.environ.get("TERM") != "dumb"

    def in_place(self, stream: Any = None) -> bool:
        """Whether a stream (stdout) is a screen on which text for people may be written over."""
        stream = stream or sys.stdout
        return self.format == "table" and takes_escapes(stream)

    @property
    def may_ask(self) -> bool:
        """Whether somebody is there who can answer a question."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()


def takes_escapes(stream: Any) -> bool:
    """Whether a stream is a terminal that obeys escape sequences, and nobody asked for none (NO_COLOR)."""
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def _into(field: str, convert: Callable[[Any], Any] = lambda value: value) -> Callable[..., Any]:
    def store(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        given = ctx.get_parameter_source(parameter.name or "")
        if given not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None):
            setattr(ctx.find_object(Settings), field, convert(value))

    return store


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1e9
    except DsttoolError as error:
        raise click.BadParameter(f"{error}") from None


def _option(*names: str, field: str, convert: Callable[[Any], Any] | None = None, **more: Any) -> Any:
    callback = _into(field, convert) if convert else _into(field)
    return click.option(*names, expose_value=False, is_eager=True, callback=callback, **more)


_LOOKS: Final = (
    _option(
        "-q", "--quiet", field="quiet", is_flag=True, help="Say only what was asked for, and what went wrong."
    ),
    _option("-v", "--verbose", field="verbose", count=True, help="Say more; -vv shows tracebacks."),
    _option(
        "--color",
        field="color",
        type=click.Choice(["auto", "always", "never"]),
        help="Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured).",
    ),
)
_ANSWERS: Final = (
    _option("--json", field="format", is_flag=True, convert=lambda _: "json", help="Answer in JSON."),
    _option(
        "-o",
        "--output",
        field="format",
        type=click.Choice(FORMATS),
        help="How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds.",
    ),
)
_CONFIRMS: Final = (
    _option("-y", "--yes", field="yes", is_flag=True, help="Go ahead without asking."),
    _option("--no-input", field="no_input", is_flag=True, help="Never ask; what would ask is declined."),
)
_CHANGES: Final = (
    _option(
        "--dry-run",
        field="dry_run",
        is_flag=True,
        help="Say what would be done and would be refused, and change nothing.",
    ),
)
_ASKS: Final = (
    _option(
        "--host",
        field="hosts",
        multiple=True,
        metavar="ADDRESS",
        help="Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be "
        "installed there; no port is opened. `local` is this machine.",
    ),
)
_WAITS: Final = (
    _option(
        "--timeout",
        field="timeout",
        metavar="TIME",
        convert=_seconds,
        help="Give up (exit 7) after this time, for example 500ms, 30s.",
    ),
)


def shared(
    *,
    answers: bool = True,
    confirms: bool = False,
    waits: bool = False,
    changes: bool = False,
    asks: bool = False,
    anywhere: bool = False,
) -> Callable[[_Decorated], _Decorated]:
    """Give a command the shared options that mean something for it, and Settings as first argument.

    changes: it knows --dry-run. asks: it only asks daemons, so that these may be another machine's (--host).
    anywhere: it has nothing to do with any machine. Whatever is not `anywhere` refuses a --host or --dry-run
    that it would not honour, given before the command's name: it must not do here, or do at all, what was
    meant for elsewhere, or for a look.
    """
    chosen: Sequence[Any] = (
        *_LOOKS,
        *(_ANSWERS if answers else ()),
        *(_CONFIRMS if confirms else ()),
        *(_WAITS if waits else ()),
        *(_CHANGES if changes else ()),
        *(_ASKS if asks else ()),
    )

    def decorate(function: _Decorated) -> _Decorated:
        @functools.wraps(function)
        def checked(settings: Settings, *words: Any, **more: Any) -> Any:
            if settings.hosts and not (asks or anywhere):
                raise _only_here(settings)
            if settings.dry_run and not (changes or asks or anywhere):
                raise UsageError(f"`{_command()}` cannot say what it would do.", "Leave out --dry-run.")
            return function(settings, *words, **more)

        decorated: Any = click.pass_obj(checked)
        for option in reversed(chosen):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def group_options(group: click.Command) -> None:
    """Let a group, the root too, take all shared options, before the subcommand."""
    for option in _LOOKS + _ANSWERS + _CONFIRMS + _WAITS + _CHANGES + _ASKS:
        option(group)


def _command() -> str:
    return click.get_current_context().command_path


def _only_here(settings: Settings) -> UsageError:
    return UsageError(
        f"`{_command()}` works on this machine only, and --host says {', '.join(settings.hosts)}.",
        "Log in there and run it, or leave out --host (and $DSTTOOL_HOST).",
    )
