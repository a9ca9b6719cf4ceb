"""What a DST session agrees on with its server at every connect, and what must stay the same."""

from dsttool.engine.device.device import Capabilities
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from dsttool.engine.wire import dst_hello
from dsttool.engine.wire.dst_hello import Hello, Welcome


class Session:
    """One node's identity towards its server. welcome: the first one's, None before it."""

    def __init__(self, id_: bytes, name: str, export: str, *, read_only: bool, owner: str) -> None:
        self.id = id_
        self._name = name
        self._export = export
        self._access = dst_hello.READ_ONLY if read_only else dst_hello.READ_WRITE
        self._owner = owner
        self.welcome: Welcome | None = None

    def hello(self, epoch: int, floor: int) -> Hello:
        """What to say on a link's connect number `epoch`; floor: the lowest id that has no answer."""
        return Hello(
            session=self.id,
            epoch=epoch,
            export=self._export,
            floor=floor,
            access=self._access,
            owner=self._owner,
        )

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
