"""`array create`, and the options by which an array is described."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings, shared

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


@click.command()
@click.argument("name")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@described(required=True)
@shared()
def create(
    settings: Settings,
    name: str,
    nodes: tuple[str, ...],
    layout: str,
    raw: bool,
    chunk: str | None,
    read_policy: str | None,
    listens: tuple[str, ...],
) -> None:
    """Write the configuration of a new array; its nodes are not touched.

    NODE is a path, an address such as dst://host/export, or the NAME of what runs here.
    """
    from dsttool.engine.config.array_file import create_array, parse_chunk
    from dsttool.engine.config.listen import parse_listen
    from dsttool.engine.host import array_plan

    config = array_plan.from_words(
        name,
        nodes,
        layout=layout,
        raw=raw,
        chunk=None if chunk is None else parse_chunk(chunk),
        read_policy=read_policy,
        listens=[parse_listen(text) for text in listens],
    )
    path = create_array(config)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.created/1", "name": name, "path": str(path)})
        return
    render.say(settings, f"The array {name} is configured in {path}.")
    render.say(settings, f"Try: dsttool array up {name}")
