"""`schema`: the JSON Schemas of what commands answer."""

import json
from importlib import resources
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings, shared
from dsttool.engine.vocabulary.errors import NotFound
from dsttool.engine.vocabulary.suggest import suggest


@click.command(
    epilog="""\b
Examples:
  dsttool schema
  dsttool schema status > status.schema.json
"""
)
@click.argument("name", required=False)
@shared(anywhere=True)
def schema(settings: Settings, name: str | None) -> None:
    """Print the JSON Schema of an answer, or list which there are.

    The NAME is what an answer says of itself: "schema": "dsttool.NAME/1" is the schema NAME. It describes
    the object of --json; its part `lines` describes the lines of -o jsonl where these are something else.
    Later releases may add properties, and neither take one away nor change what it means.
    """
    folder = resources.files("dsttool") / "schemas"
    known = sorted(
        each.name.removesuffix("-1.json") for each in folder.iterdir() if each.name.endswith(".json")
    )
    if name is None:
        shown: dict[str, Any] = {"schema": "dsttool.schemas/1", "names": known}
        if settings.json:
            render.emit_json(settings, shown)
        else:
            for each in known:
                click.echo(each)
        return
    name = name.removeprefix("dsttool.").removesuffix("/1")
    if name not in known:
        near = suggest(name, known)
        raise NotFound(
            f"There is no schema {name}.",
            f"Did you mean `dsttool schema {near}`?" if near else "`dsttool schema` lists them.",
        )
    text = (folder / f"{name}-1.json").read_text()
    if settings.format == "jsonl":
        render.emit_line(json.loads(text))
    else:
        click.echo(text, nl=False)
