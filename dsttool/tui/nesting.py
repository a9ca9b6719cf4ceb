"""Arrays on arrays: which members of arrays are other arrays of the same machine.

Only what is sure: a member's address that is the name of an array, or exactly an address that one listens on.
A port of all addresses, or of another machine, may lead somewhere else.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from dsttool.engine.config.uri import parse_uri
from dsttool.engine.control.picture import DaemonPicture
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import ArrayStatus


class Lower(NamedTuple):
    """An array that is a member. daemon: whose it is."""

    daemon: str
    array: str


class Place(NamedTuple):
    """A member's: of which array, of which daemon."""

    daemon: str
    array: str
    member: str


def nested(daemons: Mapping[str, DaemonPicture]) -> dict[Place, Lower]:
    """The members that are arrays, of the daemons of one machine. An array is in one place at most, and never
    beneath itself.
    """
    doors = _doors(daemons)
    found: dict[Place, Lower] = {}
    above: dict[Lower, Lower] = {}
    for name, array in _arrays(daemons.items()):
        upper = Lower(name, array["name"])
        for member in array["members"]:
            lower = doors.get(_door(member["address"] or ""))
            if lower is None or lower in above or lower in _chain(upper, above):
                continue
            above[lower] = upper
            found[Place(name, array["name"], member["name"])] = lower
    return found


def _doors(daemons: Mapping[str, DaemonPicture]) -> dict[Endpoint | str, Lower]:
    """The arrays by their names and by what they listen on; whoever is heard of before who was."""
    doors: dict[Endpoint | str, Lower] = {}
    for name, array in _arrays(sorted(daemons.items(), key=lambda each: each[1].lost_since_ns is not None)):
        lower = Lower(name, array["name"])
        for address in (array["name"], *array["addresses"]):
            doors.setdefault(_door(address), lower)
    return doors


def _arrays(daemons: Iterable[tuple[str, DaemonPicture]]) -> Iterator[tuple[str, ArrayStatus]]:
    for name, daemon in daemons:
        for array in daemon.state["arrays"].values() if daemon.state else ():
            yield name, array


def _chain(lower: Lower, above: Mapping[Lower, Lower]) -> Iterator[Lower]:
    """An array, and those that it is beneath."""
    at: Lower | None = lower
    while at is not None:
        yield at
        at = above.get(at)


@lru_cache(maxsize=4096)
def _door(address: str) -> Endpoint | str:
    """Where an address leads; itself, if it is of no network."""
    try:
        return parse_uri(address).endpoint
    except DsttoolError:
        return address
