"""From an exception to an exit code, one sentence saying what is wrong, and one saying what to do."""

import os
import sys
from contextlib import suppress
from itertools import pairwise

import click

from dsttool.cli.settings import Settings
from dsttool.cli.signals import Terminated
from dsttool.cli.streams import printable
from dsttool.cli.tree import build
from dsttool.engine.vocabulary.errors import DsttoolError, from_oserror
from dsttool.engine.vocabulary.suggest import suggest
from dsttool.engine.vocabulary.texts import to_json


def run(arguments: list[str], root: click.Command | None = None) -> int:
    """Run a command line of the tree, or of `root`; its exit code. Errors are said on stderr."""
    settings = Settings()
    if _asks_for_json(arguments):
        settings.format = "json"  # Also for what is wrong before that option is come to.
    try:
        # Not Click's main(): that has its own idea of a reader that left, and of Ctrl-C.
        root = root or build()
        with root.make_context("dsttool", list(arguments), obj=settings) as context:
            root.invoke(context)
        sys.stdout.flush()  # Here it can still be said what is wrong with it.
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return report(settings, _from_click(error), error)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Terminated as end:
        return end.exit_code
    except DsttoolError as error:
        return report(settings, error, error)
    except BrokenPipeError:
        raise
    except OSError as error:
        doing = f"use {error.filename}" if error.filename else "go on"
        return report(settings, from_oserror(error, doing), error)
    except Exception as error:  # noqa: BLE001 - the last one who can say anything
        unexpected = DsttoolError(
            f"Something went wrong that should not have: {error!r}.",
            "Run it again with -vv to see where, and report that.",
        )
        return report(settings, unexpected, error)


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether the words ask for JSON somewhere: an error is then said in JSON, too."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    formats = ("json", "jsonl")
    after = [word for option, word in pairwise(words) if option in ("-o", "--output")]
    joined = {f"{option}{name}" for option in ("-o", "--output=") for name in formats}
    return "--json" in words or any(word in formats for word in after) or not joined.isdisjoint(words)


def _from_click(error: click.ClickException) -> DsttoolError:
    """Click's own complaints in our two sentences."""
    if (
        isinstance(error, click.BadParameter)
        and not isinstance(error, click.MissingParameter)
        and isinstance(error.param, click.Argument)
    ):
        error.param_hint = (
            error.param.name or ""
        ).upper()  # not "[array|export]", which says how to write it
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "dsttool"
    advice = f"See `{command} --help`."
    what = " ".join(error.format_message().split())  # a list of choices has a line for each
    if isinstance(error, click.NoSuchOption):
        what = f"There is no option {error.option_name}."
        # Click's own comparison counts the dashes, by which all are alike.
        near = suggest(
            error.option_name.lstrip("-"), [each.lstrip("-") for each in error.possibilities or ()]
        )
        if near:
            advice = f"Did you mean --{near}?"
    failure = DsttoolError(what if what.endswith((".", "?")) else f"{what}.", advice)
    failure.exit_code = error.exit_code
    return failure


def report(settings: Settings, failure: DsttoolError, error: BaseException | None = None) -> int:
    """Say on stderr what is wrong and what to do; the exit code. error: where it comes from, for -vv.

    The code tells even if stderr takes nothing.
    """
    with suppress(OSError):
        _say(settings, failure, error)
    return failure.exit_code


def _say(settings: Settings, failure: DsttoolError, error: BaseException | None) -> None:
    if settings.verbose >= 2 and error is not None:
        import traceback

        traceback.print_exception(error)
    if settings.json:
        body = {"what": failure.what, "advice": failure.advice, "exit_code": failure.exit_code}
        print(to_json({"schema": "dsttool.error/1", "error": body}), file=sys.stderr)
        return
    label = "error:"
    if settings.coloured(sys.stderr):
        label = click.style(label, fg="red", bold=True)
    priority = _priority()
    click.echo(f"{priority}{label} {printable(failure.what)}", err=True, color=True)
    if failure.advice:
        click.echo(f"{priority}{printable(failure.advice)}", err=True)


def _priority() -> str:
    """What has the journal, if that reads stderr, take a line for an error: sd-daemon(3)."""
    if "JOURNAL_STREAM" not in os.environ:
        return ""
    from dsttool.engine.config.journal import is_journal

    return "<3>" if is_journal(sys.stderr) else ""
