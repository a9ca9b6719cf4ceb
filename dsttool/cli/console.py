"""`console`: commands one after the other, typed or from a script."""

import importlib
import sys

import click

from dsttool.cli.settings import Settings, shared


@click.command(
    epilog="""\b
Examples:
  dsttool console
  dsttool console --host ssh://storage1
  dsttool console -c 'array up pool' -c 'wait pool --for clean'
  dsttool console < upkeep.txt
"""
)
@click.option(
    "-c",
    "--command",
    "commands",
    multiple=True,
    metavar="COMMAND",
    help="Run this command line, and end; repeat it for several. Nothing is read then.",
)
@shared(asks=True)
def console(settings: Settings, commands: tuple[str, ...]) -> None:
    """Type commands one after the other, with completion, or run a script of them.

    All commands are there, written without `dsttool`, and a few more: `use NAME` chooses an array or export,
    whose name may then be left out; `watch [SECONDS] COMMAND` repeats a command until a key is pressed;
    `source FILE` runs the lines of a file; `help [COMMAND]`, and `exit` or `quit`. Commands that end or
    delete something want its name all the same.

    On a terminal, the prompt shows what is used, its state, and the exit code of the last command if that was
    not 0. Names of what runs are completed while you type; the line at the bottom shows the worst state there
    is, jobs with the time they still need, and rates. A line that ends in a backslash, or within quotes, goes
    on in the next. Ctrl-C ends a command, Ctrl-D the console, and Ctrl-Z suspends it. What was typed is kept
    in a file in the state folder that only you can read; lines that begin with a blank, or hold an invitation
    or a key, are not.

    Without a terminal, or with -c, there is no prompt: it is a script, which ends at the first command that
    fails, with its exit code, and names the line. # begins a comment. Words are split as in a shell; nothing
    is expanded, and ; | & < > between words are refused. --host, -o and --color hold for all commands; with
    --host, those that do not work on another machine are refused.
    """
    begin = importlib.import_module("dsttool.console.begin")
    if commands:
        code: int = begin.run_commands(settings, commands)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        code = begin.run_terminal(settings)
    else:
        code = begin.run_script(settings, sys.stdin)
    click.get_current_context().exit(code)
