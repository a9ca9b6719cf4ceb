"""What the words of a command line are names of: the one place where parameters are told apart by kind.

Completions are made from it. A parameter's kind follows from where it is (`_PLACES`), else from what its
value is called in the usage (its metavar, or the name of the argument or option).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click

from dsttool.engine.config.options import POLICY_KEYS, SECURITIES

Word = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is. words: those it can be, or begin with (then they end in '=', ':' or '/'), with help.

    live: the names that can be there, a list of `dsttool.cli.names`. of_first: those of what the first
    argument names. files: "file", "folder", or "path", which is a file only if it has a '/'.
    """

    name: str
    words: tuple[Word, ...] = ()
    live: str = ""
    of_first: bool = False
    files: str = ""


_POLICY_WORDS: Final[tuple[Word, ...]] = tuple(
    word
    for key in POLICY_KEYS
    for word in (
        (("on_exhausted=fail", "the request gets an error"), ("on_exhausted=freeze", "it waits for you"))
        if key == "on_exhausted"
        else ((f"{key}=", ""),)
    )
)
_PLACES_TO_REACH: Final[tuple[Word, ...]] = (
    ("dst://", "DST over TCP: dst://HOST[:PORT]/EXPORT"),
    ("dst+unix:///", "DST on a Unix socket: dst+unix:///EXPORT?socket=PATH"),
    ("dst+vsock://", "DST between a machine and its guests"),
    ("dst+mptcp://", "DST over several paths"),
    ("nbd://", "NBD over TCP: nbd://HOST[:PORT]/EXPORT"),
    ("nbd+unix:///", "NBD on a Unix socket"),
    ("nbds://", "NBD inside TLS"),
    ("nbds+unix:///", "NBD inside TLS on a Unix socket"),
)
_LOCAL_DEVICES: Final[tuple[Word, ...]] = (
    ("file:", "a file or block device: file:PATH"),
    ("mem:", "memory: mem:SIZE"),
)
_PLACES_TO_LISTEN: Final[tuple[Word, ...]] = (
    ("dst://", "DST over TCP: dst://ADDRESS[:PORT]"),
    ("dst+unix:///?socket=", "DST on a Unix socket"),
    ("dst+vsock://", "DST for guests"),
    ("dst+mptcp://", "DST over several paths"),
    ("nbd://", "NBD over TCP"),
    ("nbd+unix:///?socket=", "NBD on a Unix socket"),
)
_FILTER_WORDS: Final[tuple[Word, ...]] = (
    ("state:", "queued, held, in_flight, resend, exhausted, frozen"),
    ("node:", "a member, or ARRAY/NODE"),
    ("op:", "read, write, flush, trim, write_zeroes"),
    ("flags:", "fua"),
    ("name:", "an array or export"),
    ("client:", "who asked"),
    ("age>", "for example age>1s"),
    ("length>", "for example length>=64K"),
    ("attempts>", "times sent"),
    ("budget<", "time left"),
    ("id:", "its number"),
)

TEXT: Final = Kind("TEXT")
FILE: Final = Kind("FILE", files="file")
FOLDER: Final = Kind("FOLDER", files="folder")
ARRAY: Final = Kind("ARRAY", live="arrays")
ANY_ARRAY: Final = Kind("ANY_ARRAY", live="all-arrays")
STARTABLE: Final = Kind("STARTABLE", live="startable-arrays")
EXPORT: Final = Kind("EXPORT", live="exports")
SERVED: Final = Kind("SERVED", live="served")
DAEMON: Final = Kind("DAEMON", live="daemons")
LOG: Final = Kind("LOG", live="logs")
CONFIGURED: Final = Kind("CONFIGURED", live="configured")
MEMBER: Final = Kind("MEMBER", live="nodes", of_first=True)
ARRAY_NODE: Final = Kind("ARRAY_NODE", live="array-nodes")
SERVED_NODE: Final = Kind("SERVED_NODE", live="served-nodes")
TRANSACTION: Final = Kind("TRANSACTION", live="transactions", of_first=True)
KEY: Final = Kind("KEY", live="keys")
POLICY: Final = Kind("POLICY", words=_POLICY_WORDS)
FILTER: Final = Kind("FILTER", words=_FILTER_WORDS)
NODE: Final = Kind("NODE", words=_PLACES_TO_REACH + _LOCAL_DEVICES, live="served", files="path")
DEVICE: Final = Kind(
    "DEVICE", words=_LOCAL_DEVICES + _PLACES_TO_REACH, live="startable-exports", files="file"
)
PLACE: Final = Kind("PLACE", words=_PLACES_TO_REACH + _LOCAL_DEVICES, live="served", files="file")
LISTEN: Final = Kind("LISTEN", words=_PLACES_TO_LISTEN)
HOST: Final = Kind("HOST", words=(("ssh://", "ssh://[USER@]HOST[:PORT]"), ("local", "this machine")))
SECURITY: Final = Kind("SECURITY", words=tuple((word, "") for word in SECURITIES))
# Those of this program; what other packages bring along is not asked for, which takes long.
LAYOUT: Final = Kind(
    "LAYOUT",
    words=(
        ("linear", "one node after the other"),
        ("stripe", "chunks in turn"),
        ("mirror", "every node holds everything"),
    ),
)
COMMAND: Final = Kind("COMMAND")
SCHEMA: Final = Kind("SCHEMA", live="schemas")
PAGE: Final = Kind("PAGE", live="pages")
PAGE_OF: Final = Kind("PAGE_OF", live="pages", of_first=True)

# Where the name alone would say too little. Several: of the first word, of the second, …; the last repeats.
_PLACES: Final[Mapping[tuple[str, str], tuple[Kind, ...]]] = {
    ("array create", "name"): (TEXT,),
    ("array up", "words"): (
        STARTABLE,
        Kind("STARTABLE_OR_NODE", NODE.words, "startable-arrays", False, "path"),
    ),
    ("array up", "resync_from"): (NODE,),
    ("array show", "name"): (ANY_ARRAY,),
    ("array down", "names"): (ARRAY,),
    ("array delete", "name"): (ANY_ARRAY,),
    ("array discard", "name"): (ARRAY,),
    ("config show", "name"): (CONFIGURED,),
    ("export", "names"): (TEXT,),
    ("daemon stop", "names"): (DAEMON,),
    ("daemon reload", "names"): (DAEMON,),
    ("daemon tune", "name"): (DAEMON,),
    ("key authorize", "name"): (TEXT,),
    ("key authorize", "exports"): (EXPORT,),
    ("iostat", "words"): (SERVED_NODE, TEXT, TEXT),
    ("logs", "name"): (LOG,),
    ("man", "words"): (PAGE, PAGE_OF, TEXT),
    ("schema", "name"): (SCHEMA,),
}
_BY_METAVAR: Final[Mapping[str, Kind]] = {
    "ADDRESS": PLACE,
    "ARRAY": ARRAY,
    "ARRAY/NODE": ARRAY_NODE,
    "COMMAND": COMMAND,
    "DEVICE": DEVICE,
    "DST": PLACE,
    "EXPR": FILTER,
    "FILE": FILE,
    "FILTER": FILTER,
    "FOLDER": FOLDER,
    "ID": TRANSACTION,
    "KEY": KEY,
    "KEY=VALUE": POLICY,
    "LAYOUT": LAYOUT,
    "NAME": SERVED,
    "NAME/NODE": SERVED_NODE,
    "NODE": NODE,
    "SRC": PLACE,
    **dict.fromkeys(("COUNT", "PUBLICKEY", "RULE", "SECONDS", "SIZE", "TEXT", "TIME", "TIME|ID"), TEXT),
}
_BY_NAME: Final[Mapping[str, Kind]] = {
    "address": PLACE,
    "array": ARRAY,
    # Whoever confirms is to type the name, and to look at it.
    "confirm": TEXT,
    "file": FILE,
    "host": HOST,
    "layout": LAYOUT,
    "listens": LISTEN,
    "name": SERVED,
    "node": MEMBER,
    "security": SECURITY,
    **dict.fromkeys(("block", "chunk", "duration", "size"), TEXT),
}


def kinds_of(path: str, parameter: click.Parameter) -> tuple[Kind, ...]:
    """The kinds of a parameter's values: one, or for an argument of several words one for each of the first
    words, the last for all further. path: the command's words. Nothing for an option without a value, and
    LookupError for what nothing is known about.
    """
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        return ()
    name = parameter.name or ""
    if (path, name) in _PLACES:
        return _PLACES[path, name]
    if isinstance(parameter.type, click.Choice):
        return (Kind("", words=tuple((str(choice), "") for choice in parameter.type.choices)),)
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return (TEXT,)
    called = _called(parameter)
    if name in _BY_NAME and not (called in _BY_METAVAR and isinstance(parameter, click.Argument)):
        return (_BY_NAME[name],)
    return (_BY_METAVAR[called],)


def _called(parameter: click.Parameter) -> str:
    """A metavar without what says how often: [NAME[/NODE]]... is NAME/NODE."""
    return (parameter.metavar or "").translate(str.maketrans("", "", "[].…")).strip()
