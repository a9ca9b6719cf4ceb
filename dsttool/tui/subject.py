"""What a row is about, so that it can be found again when everything around it has moved."""

from typing import Literal, NamedTuple

Kind = Literal["host", "daemon", "array", "node", "link", "export", "transaction"]


class Subject(NamedTuple):
    """place, daemon: whose; name: the array's or export's; node: the member's; number: the link's index, or
    the transaction's id.
    """

    kind: Kind
    place: str
    daemon: str = ""
    name: str = ""
    node: str = ""
    number: int = 0

    @property
    def label(self) -> str:
        """As in State.rates and in commands: NAME, or NAME/MEMBER; "" for what has no rates."""
        if self.kind in ("array", "export"):
            return self.name
        return f"{self.name}/{self.node}" if self.kind in ("node", "link") else ""
