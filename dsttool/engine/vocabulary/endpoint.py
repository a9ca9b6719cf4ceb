"""Where a peer can be reached: what is left of an address once names and options are taken off."""

from dataclasses import dataclass
from typing import Literal

Family = Literal["tcp", "unix", "vsock", "mptcp"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to connect to or to listen on.

    `host` and `port` for tcp, mptcp and vsock (host is the CID there); `path` for unix.
    """

    family: Family
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.family == "unix":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
