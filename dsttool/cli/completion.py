"""`completion`: the scripts by which shells complete commands, options and names."""

import click

from dsttool.cli.settings import Settings, shared
from dsttool.cli.shells.tables import SHELLS


@click.command(
    epilog="""Examples:

\b
    source <(dsttool completion bash)
    dsttool completion bash > /etc/bash_completion.d/dsttool
    dsttool completion zsh > "${fpath[1]}/_dsttool"
    dsttool completion fish > ~/.config/fish/completions/dsttool.fish
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@shared(answers=False, anywhere=True)
def completion(settings: Settings, shell: str) -> None:
    """Print the script by which SHELL completes commands, options and names of what runs.

    An installed dsttool has brought these scripts along: they lie under share/ of where it is installed,
    which the shells of a system find by themselves only if that is /usr or /usr/local. Commands and options
    are in the script, so that they take no time; names of arrays, nodes and exports are asked for when they
    are completed, for half a second at most. With --host, names are not completed.
    """
    from dsttool.cli.outline import Outlines
    from dsttool.cli.shells.tables import script

    click.echo(script(shell, Outlines(click.get_current_context().find_root().command)), nl=False)
