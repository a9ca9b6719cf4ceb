"""What a DST session agrees on with its server at every connect, and what must stay the same."""

from typing import Final

from dsttool.engine.device.device import Capabilities
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from dsttool.engine.wire import dst_hello
from dsttool.engine.wire.dst_hello import Hello, Welcome

# What an export is, not what it can do.
_ADVICE: Final = frozenset({"rotational"})


class Session:
    """One node's session. welcome: the last one's, None before the first. term: of its writer's grant.

    As whom it comes (protocol.md, owners and terms): owner: the machine, for servers that cannot tell it
    themselves. array: 16 bytes, the same whenever this array comes up again; one-off clients have none, and
    are nobody's successor. slot: the member's. takeover: take the grant from another owner, at the first
    welcome only.
    """

    def __init__(
        self,
        id_: bytes,
        name: str,
        export: str,
        *,
        owner: str,
        array: bytes,
        slot: int,
        read_only: bool,
        takeover: bool,
    ) -> None:
        self.id = id_
        self._name = name
        self._export = export
        self._owner = owner
        self._array = array or id_
        self._slot = slot
        self._access = dst_hello.READ_ONLY if read_only else dst_hello.READ_WRITE
        self._takeover = takeover
        self.term = 0
        self.welcome: Welcome | None = None
        # What writers above were told at first that it can do; what it learns later is not used.
        self._promised: frozenset[str] = frozenset()

    def hello(self, index: int, epoch: int, floor: int) -> Hello:
        """What to say on the link of that index, on its connect number `epoch`.

        floor: the lowest id that waits for an answer.
        """
        return Hello(
            session=self.id,
            epoch=epoch,
            export=self._export,
            floor=floor,
            term=self.term,
            array=self._array,
            slot=self._slot,
            link=index,
            access=self._access,
            owner=self._owner,
            takeover=self._takeover and self.welcome is None,
        )

    def accept(self, welcome: Welcome) -> None:
        """Go on with what the server has now."""
        if self.welcome is None and self._access == dst_hello.READ_WRITE:
            self._promised = welcome.capabilities - _ADVICE
        self.welcome = welcome
        self.term = welcome.term

    def changed(self, welcome: Welcome) -> DsttoolError | None:
        """Why the node must not go on with what the server has now, if so."""
        before = self.welcome
        if welcome.access > self._access:
            what = "read-only now"
        elif before is None:
            return None
        elif welcome.size != before.size:
            what = f"{welcome.size} bytes long now, it was {before.size}"
        elif welcome.export_id != before.export_id:
            what = "another device now"
        elif (welcome.block_min, welcome.payload_max) != (before.block_min, before.payload_max):
            what = "one with other block sizes now"
        elif self._promised - welcome.capabilities:
            what = f"without {', '.join(sorted(self._promised - welcome.capabilities))} now"
        else:
            return None
        return Conflict(
            f"The export behind {self._name} is {what}; it is not used any more.",
            "Bring the right export back and start again.",
        )


def capabilities_of(welcome: Welcome) -> Capabilities:
    """What the export can do, as a Device says it."""
    names = welcome.capabilities
    return Capabilities(
        size=welcome.size,
        block_min=welcome.block_min,
        block_preferred=welcome.block_preferred,
        payload_max=welcome.payload_max,
        read_only=welcome.access == dst_hello.READ_ONLY,
        flush="flush" in names,
        fua="fua" in names,
        trim="trim" in names,
        write_zeroes="write_zeroes" in names,
        fast_zero="fast_zero" in names,
        rotational="rotational" in names,
    )
