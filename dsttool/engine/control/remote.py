"""Another machine as a place: `dsttool ctl --stdio` there, run by ssh. No port is opened for it.

Addresses are ssh://[USER@]HOST[:PORT]. Everything else about the connection is ssh's business and is said
in its own configuration: keys, jump hosts, host keys, other ports. $DSTTOOL_SSH names another program to run
instead of ssh, or ssh with words of its own, which are stronger than ours; it gets the same arguments.

No ssh is left behind: it is ended with the command, by its signals too. If the command is killed, ssh ends
with its input once it is connected, and at ConnectTimeout before.
"""

import os
import re
import shlex
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from dsttool.engine.control.client import ANSWER_TIMEOUT, Client
from dsttool.engine.control.place import LOCAL, Local, Place
from dsttool.engine.control.ssh_link import SshLink
from dsttool.engine.vocabulary.errors import UsageError

# Seconds for ssh to connect and, if it has to, to ask for a password.
CONNECT_TIMEOUT: Final = 60.0
VARIABLE: Final = "DSTTOOL_SSH"

# What is run there. A fixed text: ssh hands it to the shell of that machine.
_COMMAND: Final = ("dsttool", "ctl", "--stdio")
# What ssh_config(5) may say for a shell there, and would keep this from working: forwardings (whose ports are
# taken the second time), a command of its own; and being the master of other connections, which would end
# with this one. A master that is there already is used.
_OPTIONS: Final = ("-Tax", "-oClearAllForwardings=yes", "-oRemoteCommand=none", "-oControlMaster=no")
# A dead network is noticed after 20 s of silence: three questions, and the time for a fourth.
_ALIVE: Final = ("-oServerAliveInterval=5", "-oServerAliveCountMax=3")

_SSH: Final = re.compile(
    r"ssh://(?:(?P<user>[^@/:]*)@)?(?P<host>\[[^\]/]*\]|[^@/:\[\]]*)(?::(?P<port>[^/]*))?/?", re.DOTALL
)
# Neither may begin with a '-' (ssh would take it for an option) or have what a shell or ssh_config(5) reads.
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HOST: Final = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,16})?", re.ASCII
)
_ADVICE: Final = "Write ssh://[USER@]HOST[:PORT]; keys, jumps and the like belong into ~/.ssh/config."


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where ssh is to go. user: empty for ssh's own choice; port: None for that too."""

    host: str
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        """As on screens: [USER@]HOST[:PORT]."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}" if self.port is None else f"{user}{host}:{self.port}"

    def command(self, program: Sequence[str], *, prompts: bool, patience: float) -> list[str]:
        """The command line. prompts: whether ssh may ask somebody at the terminal. patience: seconds to
        connect; a little later ssh gives up by itself, even if nobody is left to end it.
        """
        asks = f"-oBatchMode={'no' if prompts else 'yes'}"
        bound = f"-oConnectTimeout={ceil(patience) + 1}"
        return [*program, *_OPTIONS, *_ALIVE, asks, bound, *self._login, "--", self.host, *_COMMAND]

    def by_hand(self, program: Sequence[str]) -> str:
        """What people type to see what goes wrong."""
        return shlex.join([*program, *self._login, self.host, "dsttool", "version"])

    @property
    def _login(self) -> list[str]:
        words = ["-p", str(self.port)] if self.port is not None else []
        return [*words, "-l", self.user] if self.user else words


def parse_ssh(text: str) -> SshAddress:
    """The address of a machine. UsageError if it is none, or one that ssh could take for something else."""
    match = _SSH.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not the address of a machine.", _ADVICE)
    user, host, port = match["user"], match["host"].strip("[]"), match["port"]
    if user is not None and not _USER.fullmatch(user):
        raise UsageError(f"'{user}' in '{text}' cannot be a user.", _ADVICE)
    if not _HOST.fullmatch(host):
        raise UsageError(f"'{host}' in '{text}' cannot be a host.", _ADVICE)
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise UsageError(f"'{port}' in '{text}' is not a port.", _ADVICE)
    return SshAddress(host, user or "", None if port is None else int(port))


class Remote:
    """A place that ssh leads to. It connects when it is first used, and again after it was lost.

    prompts: whether ssh may ask for a password or about a host key on the terminal; else it fails then. Once
    it was connected it asks no more: a screen may be there by then. patience: seconds for ssh to connect.
    """

    def __init__(self, address: str, *, prompts: bool = True, patience: float = CONNECT_TIMEOUT) -> None:
        self.address = parse_ssh(address)
        self.name = str(self.address)
        self._prompts = prompts
        self._patience = patience
        self._lock = threading.Lock()
        self._link: SshLink | None = None

    def daemons(self) -> list[str]:
        """See Place. Waits until ssh is connected, as long as there is patience."""
        link = self._connected()
        link.wait()
        return link.daemons()

    def names(self) -> "RemoteNames":
        """See Place. Nothing waits for ssh: there are no names until it is connected."""
        return RemoteNames(self._connected())

    def open(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> socket.socket:
        """See Place. What keeps the far side from opening it comes as the answer to the first command."""
        return self._connected().open(daemon)

    def connect(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> Client:
        """See Place."""
        self.daemons()
        return Client(Path(daemon), timeout, self.open(daemon))

    def where(self, daemon: str) -> str:
        """See Place."""
        return f"{daemon}.sock on {self.name}"

    def close(self) -> None:
        """See Place. Ends ssh."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connected(self) -> SshLink:
        """The connection, begun now if there is none. UsageError if what to run is no command."""
        with self._lock:
            if self._link is None or self._link.failure is not None:
                if self._link is not None:
                    self._prompts &= not self._link.greeted
                    self._link.close()
                program = _program()
                command = self.address.command(program, prompts=self._prompts, patience=self._patience)
                by_hand = self.address.by_hand(program)
                self._link = SshLink(
                    self.name, command, by_hand, patience=self._patience, own_group=not self._prompts
                )
                self._link.start()
            return self._link


def _program() -> list[str]:
    """What is run for ssh. UsageError if the variable is no command."""
    text = os.environ.get(VARIABLE, "")
    try:
        return shlex.split(text) or ["ssh"]
    except ValueError as error:
        raise UsageError(f"${VARIABLE} is no command: '{text}'.", "Close its quotes.") from error


class RemoteNames:
    """The daemons of a remote place, as the far side tells them."""

    def __init__(self, link: SshLink) -> None:
        self._link = link
        self._news, self._told = socket.socketpair()
        self._news.setblocking(False)
        self._told.setblocking(False)
        link.tell(self._told)

    def fileno(self) -> int:
        """See Names."""
        return self._news.fileno()

    def read(self) -> list[str]:
        """See Names. Raises why the connection was lost."""
        try:
            self._news.recv(4096)
        except BlockingIOError:
            pass
        return self._link.daemons()

    def reached(self) -> bool:
        """See Names."""
        return self._link.greeted

    def close(self) -> None:
        """See Names."""
        self._link.untell(self._told)
        self._news.close()
        self._told.close()


def parse_place(
    text: str, runtime: Path, *, prompts: bool = True, patience: float = CONNECT_TIMEOUT
) -> Place:
    """The place that --host names: an ssh:// address, or `local`. UsageError otherwise. See Remote."""
    return Local(runtime) if text == LOCAL else Remote(text, prompts=prompts, patience=patience)
