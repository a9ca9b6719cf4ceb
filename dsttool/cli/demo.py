"""`demo`: the whole story on one machine, with real daemons that are really killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.moving import reactor
from dsttool.cli.settings import Settings, shared
from dsttool.cli.signals import terminable
from dsttool.engine.config import paths
from dsttool.engine.config.units import format_size
from dsttool.engine.control import client, gathering
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import ArrayStatus

if TYPE_CHECKING:
    from dsttool.engine.host.verified_load import VerifiedLoad
    from dsttool.engine.runtime.reactor import Reactor

_SECOND: Final = 1_000_000_000
_SIZE: Final = "64M"
_BLOCKS: Final = 256
# The budget is 500 ms x (9 + 1): long enough to restart an export, short enough to watch it end.
_POLICY: Final = "resend_timeout=500ms&resends=9&backoff_max=200ms"
_BUDGET_SECONDS: Final = 5.0
_HANG_SECONDS: Final = 0.2
_NAMES: Final = ("left", "right")
_Result = TypeVar("_Result")


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running, and say where.")
@shared(answers=False, changes=True)
def demo(settings: Settings, keep: bool) -> None:
    """Show what this is about, in a quarter of a minute: a mirror that survives its exports.

    It makes two exports of sparse files in a temporary folder, forms a mirror over them, and writes and
    reads real data through NBD, every read compared with what was written. Then it kills one export in the
    middle of the load: transactions wait, the export is started again, and they are sent again, without an
    error. The other export is killed for good: the mirror goes on without it once its budget has ended.

    It needs no root, no kernel module and no network, and leaves nothing behind. With --keep everything
    goes on running, so that there is something to look at; it says where, and how to end it.
    """
    if settings.dry_run:
        would(settings, _acts(keep))
        return
    with terminable():
        stage = Stage(settings)
        try:
            with reactor() as used:
                Story(settings, stage, used).tell()
            if keep:
                stage.say_where()
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                stage.clear()
    if not keep:
        render.say(settings, "Everything is stopped, and the folder is gone.")


def _acts(keep: bool) -> list[str]:
    """What a demo does, for --dry-run."""
    folder = Path(tempfile.gettempdir()) / "dsttool-demo-..."
    left, right = _NAMES
    return [
        f"make two sparse files of 64 MiB in a folder {folder}, and export them as {left} and {right}",
        f"form the mirror pool of {left} and {right}, and write to it and read from it through NBD",
        f"kill the export {left} and start it again, then kill {right} for good",
        "leave the rest running, and say where it is" if keep else "end all of it, and remove the folder",
    ]


class Stage:
    """A temporary folder with daemons of its own."""

    def __init__(self, settings: Settings) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dsttool-demo-"))
        self._settings = settings
        for kind in ("config", "runtime", "state"):
            os.environ[f"DSTTOOL_{kind.upper()}_DIR"] = str(self.folder / kind)

    def image(self, name: str) -> Path:
        """The file behind an export."""
        return self.folder / f"{name}.img"

    def run(self, *words: str) -> None:
        """Run a dsttool command, as anybody would. Raises what it failed with."""
        done = subprocess.run(
            [sys.executable, "-m", "dsttool", *words, "-q"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DsttoolError(f"`dsttool {' '.join(words)}` failed: {done.stderr.strip()}")

    def export(self, name: str) -> None:
        """Start an export in a process of its own."""
        self.run("export", str(self.image(name)), "--name", name, "--size", _SIZE, "-d")

    def kill(self, name: str) -> None:
        """Let a daemon hang for a moment, so that it surely holds requests, and then kill -9."""
        with client.Client(paths.control_socket(name)) as daemon:
            pid = int(daemon.call("hello")["pid"])
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_HANG_SECONDS)
        os.kill(pid, signal.SIGKILL)
        client.wait_gone(pid, 10)

    def pool(self) -> ArrayStatus:
        """The array's status."""
        return gathering.gather(Local(paths.runtime_dir()))["arrays"][0]

    def clear(self) -> None:
        """End all daemons and remove the folder."""
        found = gathering.gather(Local(paths.runtime_dir()))["daemons"]
        for daemon in sorted(found, key=lambda each: each["kind"] != "array"):
            if daemon["pid"] is not None:
                with suppress(ProcessLookupError):
                    os.kill(daemon["pid"], signal.SIGTERM)
                client.wait_gone(daemon["pid"], 30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def say_where(self) -> None:
        """How to look at what was left running, and how to end it."""
        say = self._settings
        render.say(say, "Left running. To look at it:")
        for kind in ("CONFIG", "RUNTIME", "STATE"):
            variable = f"DSTTOOL_{kind}_DIR"
            render.say(say, f"  export {variable}={os.environ[variable]}")
        render.say(say, "  dsttool status")
        render.say(say, "To end it: dsttool array down pool; dsttool daemon stop left")
        render.say(say, f"           rm -r {self.folder}")


class Story:
    """The steps, each said in a line with its figures. Raises if the story does not hold."""

    def __init__(self, settings: Settings, stage: Stage, used: "Reactor") -> None:
        self._settings = settings
        self._stage = stage
        self._reactor = used
        self._step = 0

    def tell(self) -> None:
        """Play all of it."""
        # Beside the loop, whose clock must not stand still: what is connected next has a deadline.
        self._aside(self._build)
        load = self._load()
        self._healthy(load)
        self._short_outage(load)
        self._compare(load)
        self._long_outage(load)
        self._verify(load)

    def _build(self) -> None:
        stage = self._stage
        for name in _NAMES:
            stage.export(name)
        self._say("Two exports serve sparse files of 64 MiB, each in a process of its own.")
        nodes = [
            f"dst+unix:///{name}?socket={paths.dst_socket(name)}&name={name}&{_POLICY}" for name in _NAMES
        ]
        stage.run("array", "up", "pool", "--layout", "mirror", "--raw", *nodes)
        self._say("A mirror over both serves NBD: " + f"nbd+unix:///?socket={paths.nbd_socket('pool')}")

    def _load(self) -> "VerifiedLoad":
        from dsttool.engine.config.address import parse_address
        from dsttool.engine.host.open_node import Opening, open_one
        from dsttool.engine.host.verified_load import VerifiedLoad

        address = parse_address(f"nbd+unix:///?socket={paths.nbd_socket('pool')}")
        return VerifiedLoad(self._reactor, open_one(self._reactor, Opening(address)), _BLOCKS)

    def _healthy(self, load: "VerifiedLoad") -> None:
        load.start()
        self._wait(1.5)
        tally = load.tally
        amount = format_size((tally.reads + tally.writes) * 64 * 1024)
        self._say(
            f"Load through NBD: {tally.writes} writes and {tally.reads} reads of 64 KiB ({amount}), "
            "every read compared with what was written."
        )
        self._check(load)

    def _short_outage(self, load: "VerifiedLoad") -> None:
        load.tally.longest_ns = 0
        self._aside(lambda: self._stage.kill("left"))
        self._say("The export 'left' hangs in the middle of the load, and is then killed: kill -9.")
        self._wait(1.0)
        pool = self._aside(self._stage.pool)
        waiting = pool["members"][0]["in_flight"]
        self._say(
            f"{waiting} transactions wait for 'left', {load.in_flight} requests for the mirror; "
            f"it is {pool['state']}, no error went up."
        )
        self._aside(lambda: self._stage.export("left"))
        self._until(lambda pool: pool["members"][0]["link"]["state"] == "up", "'left' is connected again")
        before = load.tally.requests
        self._reactor.run_until(lambda: load.tally.requests > before + 100, 10 * _SECOND)
        pool = self._aside(self._stage.pool)
        resent, longest = pool["members"][0]["resends"], load.tally.longest_ns / 1e9
        self._say(
            f"'left' is back within its budget of {_BUDGET_SECONDS:g} s: {resent} transactions were sent "
            f"again, the longest request took {longest:.1f} s, {load.tally.errors} errors, "
            f"mirror {pool['state']}."
        )
        self._require(pool["state"] == "online", "the mirror is not online after a short outage")
        self._require(resent > 0, "nothing was sent again")
        self._check(load)

    def _compare(self, load: "VerifiedLoad") -> None:
        self._require(load.stop(30 * _SECOND), "the load does not end")
        expected = load.expected()
        for name in _NAMES:
            with self._stage.image(name).open("rb") as image:
                held = image.read(len(expected))
            self._require(held == expected, f"{name}.img does not hold what was written")
        self._say(f"Both files hold exactly what was written: {format_size(len(expected))} compared.")
        load.start()

    def _long_outage(self, load: "VerifiedLoad") -> None:
        self._aside(lambda: self._stage.kill("right"))
        self._say(f"The same with the export 'right', but for good: its budget is {_BUDGET_SECONDS:g} s.")
        self._until(lambda pool: pool["state"] == "degraded", "the mirror is degraded")
        before = load.tally.requests
        self._wait(1.0)
        pool = self._aside(self._stage.pool)
        self._say(
            f"The budget has ended: 'right' is {pool['members'][1]['state']}, the mirror is "
            f"{pool['state']}, and {load.tally.requests - before} more requests were answered in 1 s."
        )
        self._require(load.tally.requests > before, "the degraded mirror does not answer")
        self._check(load)

    def _verify(self, load: "VerifiedLoad") -> None:
        self._require(load.stop(30 * _SECOND), "the load does not end")
        self._require(load.check_all(60 * _SECOND), "the last reads do not end")
        self._check(load)
        tally = load.tally
        self._say(
            f"All of it read back and compared: {tally.requests} requests, {tally.errors} errors, "
            f"{tally.mismatches} mismatches."
        )

    # -- means ---------------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        self._step += 1
        render.say(self._settings, f"{self._step:2}. {line}")
        sys.stdout.flush()

    def _wait(self, seconds: float) -> None:
        """Let the load run."""
        self._reactor.run_until(lambda: False, int(seconds * _SECOND))

    def _aside(self, call: Callable[[], _Result]) -> _Result:
        """Run what blocks beside the load."""
        outcome: list[tuple[Any, BaseException | None]] = []
        self._reactor.run_blocking(call, lambda result, error: outcome.append((result, error)))
        self._reactor.run_until(lambda: bool(outcome))
        result, error = outcome[0]
        if error is not None:
            raise error
        answer: _Result = result
        return answer

    def _until(self, happened: Callable[[Any], bool], what: str) -> None:
        for _ in range(150):
            if happened(self._aside(self._stage.pool)):
                return
            self._wait(0.1)
        raise DsttoolError(f"The demo failed: it did not come to this in 15 s: {what}.")

    def _check(self, load: "VerifiedLoad") -> None:
        self._require(load.tally.errors == 0, f"{load.tally.errors} requests failed")
        self._require(load.tally.mismatches == 0, f"{load.tally.mismatches} reads brought wrong data")

    @staticmethod
    def _require(holds: bool, otherwise: str) -> None:
        if not holds:
            raise DsttoolError(
                f"The demo failed: {otherwise}.", "Please report this with your system's name."
            )
