"""Who uses what runs, for those who are about to take it away: clients, and arrays it is a member of."""

from collections.abc import Iterator, Sequence

from dsttool.cli.asking import gather
from dsttool.cli.settings import Settings
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, SessionStatus, Status

# Of more clients than this the rest is only counted.
_NAMED_MAX = 5


def losers(settings: Settings, names: Sequence[str]) -> list[str]:
    """What follows from the end of these daemons of that machine, a sentence each; none if nobody minds."""
    if settings.yes:
        return []
    status = gather(settings)
    served = [name for each in status["daemons"] if each["name"] in names for name in each["serves"]]
    return [line for name in served for line in consequences(status, name, names)]


def consequences(status: Status, name: str, ending: Sequence[str] = ()) -> list[str]:
    """What follows from the end of what is served under a name, a sentence each; none if nobody minds.

    ending: arrays that end with it, and do not mind.
    """
    found: list[str] = []
    everything: list[ArrayStatus | ExportStatus] = [*status["arrays"], *status["exports"]]
    for served in everything:
        if served["name"] != name:
            continue
        members = list(_memberships(status["arrays"], served))
        found += [
            f"{name} is member {member} of the array {array['name']}, which is {array['state']}: "
            f"without it {array['name']} {_then(array)}."
            for array, member in members
            if array["name"] not in ending
        ]
        own = sum(1 for _ in members)
        if len(served["sessions"]) > own:
            found.append(f"{name} is used by {_clients(served['sessions'])}: they lose it.")
    return found


def _then(array: ArrayStatus) -> str:
    """What becomes of an array that loses a member."""
    good = sum(1 for member in array["members"] if member["state"] == "in_sync")
    if array["layout"] == "mirror" and good > 1:
        left = good - 1
        return f"has {left} good cop{'y' if left == 1 else 'ies'} left"
    return "waits, and then fails requests"


def _memberships(
    arrays: Sequence[ArrayStatus], served: ArrayStatus | ExportStatus
) -> Iterator[tuple[ArrayStatus, str]]:
    """The arrays that have it as a node, with the member's name."""
    places = [address for text in served["addresses"] if (address := _parsed(text)) is not None]
    for array in arrays:
        for member in array["members"]:
            node = _parsed(member["address"] or "")
            if node is None:
                continue
            by_name = node.kind == "name" and node.export == served["name"]
            if by_name or any(_same(node, place) for place in places):
                yield array, member["name"]


def _same(node: Address, place: Address) -> bool:
    """Whether a node is what is served at a place. A name that is left out means the only one."""
    same_name = node.export == place.export or not (node.export and place.export)
    return node.kind == place.kind and node.endpoint == place.endpoint and same_name


def _parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except DsttoolError:
        return None


def _clients(sessions: Sequence[SessionStatus]) -> str:
    named = [f"{each['peer']} ({each['access'].replace('_', ' ')})" for each in sessions[:_NAMED_MAX]]
    more = len(sessions) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
