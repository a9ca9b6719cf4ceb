"""Another machine behind OpenSSH's own client: its server, and the keys that let this one in."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.site import Site

_CONFIG = """\
Host box
    HostName 127.0.0.1
    Port {port}
    HostKeyAlias box
    User somebody
    IdentityFile "{folder}/key"
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile "{folder}/known_hosts"
    GlobalKnownHostsFile /dev/null
"""
_DSTTOOL = """\
#!/bin/sh
exec {python} -m dsttool "$@"
"""


class SshMachine:
    """ssh://box of a site leads to `far`. No configuration or agent that ssh has on this machine counts."""

    def __init__(self, site: Site, far: Site, server: "subprocess.Popen[str]", folder: Path) -> None:
        self._site = site
        self._far = far
        self._server = server
        self._folder = folder

    @property
    def program(self) -> Path:
        """What is `dsttool` there."""
        return self._far.path("bin") / "dsttool"

    @property
    def connections(self) -> int:
        """How many there were."""
        log = self._folder / "connections.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def cut(self) -> None:
        """Every connection ends at once, as when the network goes."""
        assert self._server.stdin is not None
        self._server.stdin.write("cut\n")
        self._server.stdin.flush()

    def replace_key(self) -> None:
        """From now on ours is one that is not authorized."""
        make_key(self._folder / "key")

    @property
    def known(self) -> str:
        """The host keys that ssh knows."""
        return (self._folder / "known_hosts").read_text()

    def know(self, host_key: str) -> str:
        """Let ssh know this host key only; none if it is empty. What it knows then."""
        (self._folder / "known_hosts").write_text(f"box {host_key}\n" if host_key else "")
        return self.known

    def ours(self) -> dict[int, str]:
        """Every ssh of the site that runs."""
        return {pid: line for pid, line in self._site.processes().items() if line.startswith("ssh ")}

    def theirs(self) -> dict[int, str]:
        """What is run there for --host."""
        return {pid: line for pid, line in self._far.processes().items() if line.endswith("ctl --stdio")}


def make_key(path: Path) -> str:
    """A new pair of keys in `path` and `path`.pub; the public one."""
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


@contextmanager
def ssh_machine(site: Site, far: Site) -> Iterator[SshMachine]:
    """A server for the block, that runs commands with the far site's folders."""
    folder = site.path("ssh")
    folder.mkdir(mode=0o700)
    host_key = make_key(folder / "host_key")
    (folder / "authorized_keys").write_text(make_key(folder / "key") + "\n")
    program = far.path("bin") / "dsttool"
    program.parent.mkdir()
    program.write_text(_DSTTOOL.format(python=shlex.quote(sys.executable)))
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ssh_server.py"), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=far.env | {"PATH": f"{program.parent}:/usr/bin:/bin"},
        cwd=far.folder,
    )
    with server:  # Its input ends with the block, and it with that.
        assert server.stdout is not None
        port = int(server.stdout.readline())
        (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
        site.env["DSTTOOL_SSH"] = shlex.join(["ssh", "-F", str(folder / "config")])
        machine = SshMachine(site, far, server, folder)
        machine.know(host_key)
        yield machine
