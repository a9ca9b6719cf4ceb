"""`ctl`: the far end of --host."""

import os
import platform
import sys

import click

import dsttool
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.vocabulary.errors import UsageError


@click.command()
@click.option("--stdio", is_flag=True, help="Talk over standard input and output; the only way there is.")
# Whatever $DSTTOOL_HOST says there: this is where others wanted to get to.
@shared(answers=False, anywhere=True)
def ctl(settings: Settings, stdio: bool) -> None:
    """Carry conversations with this machine's daemons over standard input and output.

    This is what --host runs on the other machine, over ssh, and nothing for people: JSON lines (schema
    dsttool.ctl/1) in which several conversations with control sockets share one connection. It ends when
    its input ends. It can do what the user it runs as can do, and opens no port.
    """
    from dsttool.engine.control.ctl import Relay
    from dsttool.engine.control.place import Local

    if not stdio:
        raise UsageError("`dsttool ctl` needs --stdio.", "--host runs it: dsttool --host ssh://HOST status")
    about = {"host": platform.node(), "version": dsttool.__version__}
    sys.stdout.flush()
    place = Local(paths.runtime_dir())
    try:
        Relay(place, sys.stdin.fileno(), sys.stdout.fileno(), about).run()
    except BrokenPipeError:
        # Nobody hears us any more. Nothing is buffered in sys.stdout that could fail later.
        os._exit(0)
