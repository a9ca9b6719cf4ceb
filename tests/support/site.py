"""A place with real processes: dsttool daemons and their peers, in one short-lived folder.

The folder lies directly in the temporary folder, because a Unix socket's path has at most 107 bytes.
Every process started here, detached ones too, carries the folder's DSTTOOL_RUNTIME_DIR in its
environment; that is how `close` finds what a test or a daemon left running.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

# Long enough for a machine with much else to do: what happens at once elsewhere may take a while there.
START_SECONDS = 40.0
STOP_SECONDS = 40.0
# For a process that is at its very end already.
ENDING_SECONDS = 5.0

Done = subprocess.CompletedProcess[str]


def wait_until(happened: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Poll another process's state; fails with `what` when it does not happen in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def accepts(path: Path) -> bool:
    """Whether somebody listens on this Unix socket: by the agreed rule that means ready."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Daemon:
    """One process that stays up until it is stopped or killed."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.command, self.log = command, log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=log.parent
            )

    @property
    def output(self) -> str:
        """Everything it printed so far."""
        return self.log.read_text(errors="replace")

    def wait_ready(self, path: Path) -> None:
        """Wait until the socket accepts; fails at once with the output if the process ends."""

        def ready() -> bool:
            assert self.process.poll() is None, f"{self} ended: {self.output[-2000:]}"
            return accepts(path)

        wait_until(ready, f"{self} serves {path}: {self.output[-2000:]}")

    def kill(self) -> None:
        """kill -9: no goodbye to anybody."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM must end a daemon cleanly, with exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        assert code == 0, f"{self} ended with {code} on SIGTERM: {self.output[-2000:]}"

    def __str__(self) -> str:
        return " ".join(self.command)


class Site:
    """Starts, finds and ends the processes of one test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dst"))
        self.env = os.environ | {"NO_COLOR": "1"}
        for name in ("CONFIG", "RUNTIME", "STATE"):
            self.env[f"DSTTOOL_{name}_DIR"] = str(self.folder / name.lower())
        self.daemons: list[Daemon] = []

    def __enter__(self) -> "Site":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.close()
        if kind is None:
            assert not left, "still running after its daemons were stopped: " + "; ".join(left)

    def close(self) -> list[str]:
        """End everything, remove the folder. Returns the command lines of what SIGTERM did not end.

        Arrays end before exports, and those started last first: an array still flushes its nodes.
        """
        left = []
        order = [(("array" in daemon.command), index, daemon) for index, daemon in enumerate(self.daemons)]
        for _, _, daemon in sorted(order, reverse=True):
            daemon.process.terminate()
            daemon.process.send_signal(signal.SIGCONT)  # a test that failed may have left it stopped
            try:
                daemon.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                left.append(str(daemon))
                daemon.kill()
        deadline = time.monotonic() + ENDING_SECONDS
        while (strays := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in strays:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)
        return left + list(strays.values())

    def processes(self) -> dict[int, str]:
        """Process id and command line of everything that runs with this site's environment."""
        mark = f"DSTTOOL_RUNTIME_DIR={self.env['DSTTOOL_RUNTIME_DIR']}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:  # it ended, or it belongs to somebody else
                pass
        return found

    def path(self, name: str) -> Path:
        """A file or socket in this site's folder."""
        return self.folder / name

    def file(self, name: str, size: int, content: bytes = b"") -> Path:
        """A sparse file of `size` bytes that begins with `content`."""
        path = self.folder / name
        with path.open("wb") as file:
            file.write(content)
            file.truncate(size)
        return path

    def run(self, *command: object, code: int | None = 0, timeout: float = 100) -> Done:
        """Run a program of a peer to its end; `code` None accepts every exit code."""
        words = [str(word) for word in command]
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=self.env,
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{' '.join(words)} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}\n"
            + "\n".join(f"-- {daemon}\n{daemon.output[-2000:]}" for daemon in self.daemons)
        )
        return done

    def dsttool(self, *arguments: object, code: int | None = 0) -> Done:
        """Run a dsttool command to its end."""
        return self.run(sys.executable, "-m", "dsttool", *arguments, code=code)

    @contextmanager
    def begun(self, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
        """A dsttool command that goes on, its output read through pipes; killed when the block ends."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dsttool", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=self.folder,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: object) -> Any:
        """What a dsttool command answers with --json."""
        return json.loads(self.dsttool(*arguments, "--json").stdout)

    def start(self, *command: object, ready: Path) -> Daemon:
        """Start a program that stays up, and wait until its socket accepts."""
        log = self.folder / f"{len(self.daemons)}.log"
        daemon = Daemon([str(word) for word in command], self.env, log)
        self.daemons.append(daemon)
        daemon.wait_ready(ready)
        return daemon

    def export(self, device: object, name: str, *options: object) -> Daemon:
        """Export a device in the foreground over NBD (NAME.nbd) and DST (NAME.dst) in the folder."""
        nbd, dst = self.path(f"{name}.nbd"), self.path(f"{name}.dst")
        daemon = self.start(
            *(sys.executable, "-m", "dsttool", "export", device, "--name", name),
            *("--listen", f"nbd+unix:///?socket={nbd}", "--listen", f"dst+unix:///?socket={dst}"),
            *options,
            ready=nbd,
        )
        daemon.wait_ready(dst)
        daemon.wait_ready(self.control(name))
        return daemon

    def array(self, name: str, layout: str, *nodes_and_options: object) -> Daemon:
        """Run a raw array in the foreground, served like an export."""
        nbd, dst = self.path(f"{name}.nbd"), self.path(f"{name}.dst")
        daemon = self.start(
            *(sys.executable, "-m", "dsttool", "array", "up", name, "--layout", layout, "--raw"),
            *nodes_and_options,
            *("--listen", f"nbd+unix:///?socket={nbd}", "--listen", f"dst+unix:///?socket={dst}"),
            "--foreground",
            ready=nbd,
        )
        daemon.wait_ready(dst)
        daemon.wait_ready(self.control(name))
        return daemon

    def nbd(self, name: str) -> str:
        """The NBD address of an export or array of this site."""
        return f"nbd+unix:///?socket={self.path(name + '.nbd')}"

    def control(self, name: str) -> Path:
        """The control socket of the daemon of that name: it comes after all others that it listens on."""
        return self.folder / self.env["DSTTOOL_RUNTIME_DIR"] / f"{name}.sock"

    def dst(self, name: str, **options: object) -> str:
        """The DST address of an export or array of this site, with options in its query."""
        query = "".join(f"&{key}={value}" for key, value in options.items())
        return f"dst+unix:///{name}?socket={self.path(name + '.dst')}{query}"
