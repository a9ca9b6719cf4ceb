"""JSON Schemas of everything that commands answer in JSON, made from the types; they are shipped as files.

A schema describes the object of `--json`. What `-o jsonl` prints is such an object too, or lines: these
are described by `lines` in the same schema. Objects may have more properties than a schema names: changes
are additive only.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from dsttool.engine.vocabulary import answers, checkup, status, stream

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Answer(NamedTuple):
    """The types of an answer: it is one of `whole`; its lines, if it is printed as lines, one of `lines`."""

    whole: tuple[Any, ...]
    lines: tuple[Any, ...] = ()


# By name: what `schema` says is "dsttool.NAME/1".
ANSWERS: Final[dict[str, Answer]] = {
    "array": Answer((answers.ShownArray,)),
    "arrays": Answer((answers.Arrays,), (answers.ListedArray,)),
    "bench": Answer((answers.Bench,)),
    "config": Answer((checkup.Config,), (checkup.ConfigValue,)),
    "config_paths": Answer((checkup.ConfigPaths,), (checkup.ConfigPath,)),
    "cp": Answer((answers.Copied,)),
    "created": Answer((answers.Created,)),
    "daemons": Answer((answers.Daemons,), (status.DaemonStatus,)),
    "deleted": Answer((checkup.Deleted,)),
    "doctor": Answer((checkup.Doctor,), (checkup.Finding,)),
    "dry_run": Answer((answers.DryRun,)),
    "error": Answer((answers.Failure,)),
    "events": Answer((answers.Events,), (answers.EventLine,)),
    "info": Answer((answers.Info,)),
    "invitation": Answer((answers.WithdrawnInvitation,)),
    "iostat": Answer((answers.IostatReport,)),
    "jobs": Answer((answers.Jobs,), (status.JobStatus,)),
    "key": Answer((answers.ChangedKey,)),
    "key_file": Answer((answers.NewKey,)),
    "key_files": Answer((answers.OwnKeys,), (answers.OwnKey,)),
    "keys": Answer((answers.AuthorizedKeys,), (answers.AuthorizedKey,)),
    "nodes": Answer((answers.Nodes,), (status.MemberStatus,)),
    "policy": Answer((answers.Policy,), (answers.NodePolicy, answers.PolicyChange)),
    "problems": Answer((checkup.Problems,), (checkup.Problem,)),
    "ready": Answer((answers.Ready,), (answers.ReadyDaemon,)),
    "recorded": Answer((answers.Recorded,)),
    "recording": Answer((answers.RecordingHeader,), (answers.RecordingLine,)),
    "reload": Answer((checkup.Reloaded,), (checkup.ReloadedDaemon,)),
    "schemas": Answer((answers.Schemas,)),
    "status": Answer((status.Status,), (answers.ArrayLine, answers.ExportLine, answers.DaemonLine)),
    "stopped": Answer((answers.Stopped,), (answers.StoppedDaemon,)),
    "stream": Answer((stream.Hello, stream.Snapshot, stream.Delta, stream.EventFrame, stream.Bye)),
    "transactions": Answer((answers.TransactionList,), (status.TransactionStatus,)),
    "tuning": Answer((answers.Tuning,), (answers.Threads,)),
    "uri": Answer((answers.Uri,)),
    "version": Answer((answers.Version,)),
    "waited": Answer((answers.Waited,)),
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of "dsttool.NAME/1". KeyError for a name that is none."""
    import msgspec

    answer = ANSWERS[name]
    types = (*answer.whole, *answer.lines)
    references, components = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": DIALECT,
        "$id": f"dsttool.{name}/1",
        "title": f"dsttool.{name}/1",
        **_one_of(references[: len(answer.whole)]),
        **({"lines": _one_of(references[len(answer.whole) :])} if answer.lines else {}),
        "$defs": {each: _tidied(components[each]) for each in sorted(components)},
    }


def _one_of(references: Iterable[dict[str, Any]]) -> dict[str, Any]:
    chosen = list(references)
    return chosen[0] if len(chosen) == 1 else {"anyOf": chosen}


def _anything(kind: type) -> dict[str, Any]:
    """`object`: any value."""
    if kind is object:
        return {"description": "Any value of JSON."}
    raise NotImplementedError(kind)


def _tidied(component: dict[str, Any]) -> dict[str, Any]:
    """A component with its description on as few lines as its docstring has paragraphs."""
    described = component.get("description")
    if described is None:
        return component
    paragraphs = (" ".join(paragraph.split()) for paragraph in described.split("\n\n"))
    return {**component, "description": "\n".join(paragraphs)}
