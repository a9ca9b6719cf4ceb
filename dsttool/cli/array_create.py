"""`array create`, and the options by which an array is described."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.file_name import FileName
from dsttool.cli.offering import Offering, offering
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.vocabulary.errors import UsageError, from_oserror

if TYPE_CHECKING:
    from dsttool.engine.config.invitations import Invite

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def described(*, required: bool) -> Callable[[_Decorated], _Decorated]:
    """The options that describe an array."""
    options = (
        click.option("--layout", required=required, help="linear, stripe, mirror, or an installed one."),
        click.option("--raw", is_flag=True, help="The array is the nodes' bytes and nothing else."),
        click.option("--chunk", help="Bytes on one member before the next (stripe), e.g. 64K."),
        click.option(
            "--read-policy",
            type=click.Choice(["nearest", "round_robin", "first"]),
            help="Which copy a mirror reads.",
        ),
        click.option("--listen", "listens", multiple=True, metavar="ADDRESS", help="Serve there too."),
    )

    def decorate(function: _Decorated) -> _Decorated:
        decorated: Any = function
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


@click.command(
    epilog="""\b
Examples:
  dsttool array create pool --layout mirror --raw \\
      'dst://10.0.0.1/d0?security=none' 'dst://10.0.0.2/d1?security=none'
  dsttool array create pool --layout mirror --raw --invite-file invitations"""
)
@click.argument("name")
@click.argument("nodes", nargs=-1, metavar="[NODE...]")
@described(required=True)
@click.option(
    "--invite-file",
    "invite_files",
    multiple=True,
    type=FileName(allow_dash=True, readable=False),
    metavar="FILE",
    help="Invitations, one a line (- for standard input): each is a node more, after those named.",
)
@shared(changes=True)
@offering(invites=False)
def create(
    settings: Settings,
    name: str,
    nodes: tuple[str, ...],
    layout: str,
    raw: bool,
    chunk: str | None,
    read_policy: str | None,
    listens: tuple[str, ...],
    invite_files: tuple[str, ...],
    offering: Offering,
) -> None:
    """Write the configuration of a new array; what its nodes hold is not touched.

    NODE is a path, an address such as dst://host/export, or the NAME of what runs here. Members are called
    n0, n1, ... unless an address says ?name=NAME. The file is arrays/NAME.toml in the configuration folder;
    it may be edited, and `config check` checks it. `array up NAME` brings the array up, `array delete`
    removes it.

    Layouts: `linear` puts one node after the other. `stripe` deals chunks of --chunk bytes round the nodes.
    Neither survives the loss of a node beyond what the budget covers. `mirror` keeps everything on every
    node, and serves on as long as one of them is left; --read-policy says which copy it reads: `nearest` by
    the time that its answers take, `round_robin`, or `first`. It trims where all nodes can write zeroes fast.
    Others come from installed packages.

    A --raw array is the nodes' bytes and nothing else: usable on disks that already hold data, and readable
    without dsttool. Which members missed writes is then kept in the state folder of this machine.

    An invitation, printed by `export --invite` on a node's machine, has this machine's key authorised there,
    before the array is configured.
    """
    from dsttool.engine.config.array_file import create_array, parse_chunk
    from dsttool.engine.host import array_plan

    invites = [invite for file in invite_files for invite in _invites(file)]
    nodes += tuple(str(invite.address) for invite in invites)
    if not nodes:
        raise UsageError("An array needs at least one node.", "Name a NODE, or give --invite-file.")
    config = array_plan.from_words(
        name,
        nodes,
        layout=layout,
        raw=raw,
        chunk=None if chunk is None else parse_chunk(chunk),
        read_policy=read_policy,
        listens=offering.places(listens),
        access=offering.access,
    )
    if settings.dry_run:
        array_plan.refuse_configured(name)
        acts = [f"have {invite.address.bare()} authorise this machine's key" for invite in invites]
        members = ", ".join(str(node.bare()) for node in config.nodes)
        would(settings, [*acts, f"write {paths.array_file(name)}: {layout} of {members}"])
        return
    if invites:
        array_plan.refuse_configured(name)
        _redeem(settings, invites)
    path = create_array(config)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.created/1", "name": name, "path": str(path)})
        return
    render.say(settings, f"The array {name} is configured in {path}.")
    render.say(settings, f"Try: dsttool array up {name}")


def _invites(file: str) -> "list[Invite]":
    from dsttool.engine.config.invitations import TEXT_BYTES_MAX, parse_invites

    try:
        if file == "-":
            text = sys.stdin.read(TEXT_BYTES_MAX)
        else:
            with Path(file).open(errors="replace") as opened:
                text = opened.read(TEXT_BYTES_MAX)
    except OSError as error:
        raise from_oserror(error, f"read {file}") from error
    return parse_invites(text)


def _redeem(settings: Settings, invites: "Sequence[Invite]") -> None:
    from dsttool.cli import moving
    from dsttool.engine.host.redeem import redeem

    with moving.reactor() as reactor:
        for invite in invites:
            redeem(reactor, invite)
            render.say(settings, f"{invite.address.bare()} knows this machine's key now.")
