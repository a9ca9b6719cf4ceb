"""Somebody who types at a console on a terminal, and reads what it sends to be shown.

That is the changes of a screen: what was shown before in its place is not sent again.
"""

import re
import shlex
import sys
import time
from types import TracebackType

import pexpect

from support.site import Site

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")
_TO_THE_RIGHT = re.compile(r"\x1b\[(\d*)C")
_WHERE_IS_THE_CURSOR = "\x1b[6n"
WAIT_SECONDS = 30.0
CTRL_C, CTRL_D = "\x03", "\x04"


class Typist:
    """A `dsttool console` on a terminal of 100 columns. `raw` is all that it sent.

    in_shell: it is started at a shell's prompt, and what the shell shows is read, too.
    """

    def __init__(
        self, site: Site, *options: str, rows: int = 24, in_shell: bool = False, **environment: str
    ) -> None:
        env = {key: value for key, value in site.env.items() if key != "NO_COLOR"}
        env |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8", **environment}
        self.raw = ""
        self._seen = 0
        command = [sys.executable, "-m", "dsttool", "console", *options]
        self._process = pexpect.spawn(
            *(("bash", ["--norc", "--noprofile", "-i"]) if in_shell else (command[0], command[1:])),
            env=env, cwd=str(site.folder), dimensions=(rows, 100), encoding="utf-8", timeout=30,
        )  # fmt: skip
        self._answered = 0
        if in_shell:
            self.line(shlex.join(command))

    def __enter__(self) -> "Typist":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close(force=True)

    def type(self, text: str) -> None:
        """Press keys."""
        self._process.send(text)

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.type(text + "\r")

    def reads(self, pattern: str) -> str:
        """Wait until something is shown that was not there at the last `reads`; all that is new up to it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := re.search(pattern, new := self._text()[self._seen :])):
            listens = time.monotonic() < deadline and self._hears()
            assert listens, f"{pattern!r} is not shown in {new!r}"
        self._seen += found.end()
        return new[: found.end()]

    def ends(self) -> int:
        """Wait for the console's end; its exit code."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self._hears():
            assert time.monotonic() < deadline, f"it does not end: {self._text()[-1000:]!r}"
        self._process.wait()
        status = self._process.exitstatus
        return 128 + int(self._process.signalstatus or 0) if status is None else int(status)

    def signal(self, number: int) -> None:
        """Send a signal to the console's process."""
        self._process.kill(number)

    def _text(self) -> str:
        spaced = _TO_THE_RIGHT.sub(lambda found: " " * int(found[1] or 1), self.raw)
        return _ESCAPE.sub("", spaced).replace("\r", "")

    def _hears(self) -> bool:
        """Take what there is to read, waiting for it a moment; False at the end."""
        try:
            self.raw += self._process.read_nonblocking(1 << 16, timeout=0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        # What terminals answer to the question where the cursor is: without it, prompt_toolkit draws less.
        asked = self.raw.count(_WHERE_IS_THE_CURSOR)
        self._process.send("\x1b[1;1R" * (asked - self._answered))
        self._answered = asked
        return True
