"""The options of those who run daemons: how they log, and where they answer Prometheus."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from dsttool.engine.host.log_lines import Format
    from dsttool.engine.vocabulary.endpoint import Endpoint

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--metrics",
        metavar="ADDRESS",
        help="Answer Prometheus there: PORT or HOST:PORT (without a host this machine only), or the path of a"
        " Unix socket.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json", "journal"]),
        envvar="DSTTOOL_LOG_FORMAT",
        help="How lines of the log look: text for people, one JSON object each for programs, or with"
        " priorities for the journal. Without it what dsttool.toml says; else the journal's, if it reads the"
        " log, and text elsewhere.",
    ),
)


@dataclass(frozen=True, slots=True)
class Running:
    """What these options say. metrics: None for nowhere; log_format: None for what fits the log."""

    metrics: "Endpoint | None"
    log_format: "Format | None"

    @property
    def remarks(self) -> list[str]:
        """A warning if other machines can read the metrics."""
        from dsttool.engine.config.listen import is_local

        if self.metrics is None or is_local(self.metrics):
            return []
        return [f"Warning: everybody who can reach {self.metrics} can read the metrics there."]


def running(function: _Decorated) -> _Decorated:
    """Give a command these options, as one argument `running`. Below `shared`."""

    @functools.wraps(function)
    def collect(*arguments: Any, metrics: str | None, log_format: "Format | None", **others: Any) -> Any:
        place = None
        if metrics is not None:
            from dsttool.engine.config.metrics_place import parse_metrics_place

            place = parse_metrics_place(metrics)
        if log_format is None:
            from dsttool.engine.config.machine_file import load_machine

            log_format = load_machine().log_format
        return function(*arguments, running=Running(place, log_format), **others)

    decorated: Any = collect
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
