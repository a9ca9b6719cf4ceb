"""What a console remembers from line to line, and how it runs one.

Every command runs with Settings of its own, as if it had been started from a shell with the console's
options. What only asks daemons runs in this process. What forks, moves data or takes over the terminal is a
process of its own: a fork wants a process without threads, and what a broken-off copy held is gone with its
process.
"""

import io
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final

from dsttool.cli import failure, kinds
from dsttool.cli.completing import walk
from dsttool.cli.outline import Outlines
from dsttool.cli.settings import Settings
from dsttool.cli.signals import Terminated
from dsttool.cli.tree import Tree
from dsttool.console.lines import logical, operator, split
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError

_OWN_PROCESS: Final = frozenset(
    {
        ("array", "create"),
        ("array", "up"),
        ("bench",),
        ("console",),
        ("cp",),
        ("ctl",),
        ("demo",),
        ("doctor",),
        ("export",),
        ("info",),
        ("man",),
        ("tui",),
    }
)
# First arguments for which the used name may stand.
_USABLE: Final = (kinds.ARRAY, kinds.ANY_ARRAY, kinds.SERVED, kinds.ARRAY_NODE, kinds.SERVED_NODE, kinds.LOG)
# What these end or delete is to be named.
_SEVERE: Final = frozenset({("array", "down"), ("array", "delete"), ("array", "discard"), ("daemon", "stop")})
_OPEN: Final = {"'": "single quotes", '"': "double quotes", "\\": "a backslash"}
# Commands of the console that other commands follow.
BEFORE_COMMANDS: Final = ("watch", "help")


class Stopped(DsttoolError):
    """A script has ended at a line that failed; the exit code is that line's."""

    def __init__(self, where: str, text: str, code: int) -> None:
        super().__init__(
            f"{where}: `{shlex.join(split(text).words)}` ended with exit code {code}.",
            "The script ends there; nothing after it was run.",
        )
        self.exit_code = code


class Session:
    """One console. used: the name chosen with `use`, or ''. code: the last command's exit code.

    tree: the commands' and the console's own. options: those of the console, before every command.
    scripted: the input is not a person's: commands get none of it.
    """

    def __init__(self, tree: Tree, settings: Settings, *, scripted: bool) -> None:
        self.tree = tree
        self.outlines = Outlines(tree)
        self.scripted = scripted
        self.used = ""
        self.code = 0
        self._settings = settings
        self._options = options_of(settings)

    def run(self, text: str) -> int:
        """Run a line; its exit code, or that of the last if it is empty."""
        line = split(text)
        if line.open:
            error = UsageError(f"The line ends within {_OPEN[line.open]}.", "Write it whole.")
            self.code = failure.report(self._settings, error)
        elif found := operator(text):
            error = UsageError(
                f"The console is no shell: it has no `{found}`.",
                "Write one command a line; quote what belongs to a word.",
            )
            self.code = failure.report(self._settings, error)
        elif line.words:
            self.run_words(line.words)
        return self.code

    def run_typed(self, text: str) -> None:
        """Run what was typed, or pasted: several lines, up to the first that fails."""
        for _, line in logical(text.splitlines(keepends=True)):
            try:
                self.run(line)
            except KeyboardInterrupt:
                self.code = 130
            if self.code:
                return

    def run_words(self, words: Sequence[str]) -> int:
        """Run a command by its words; its exit code."""
        words = self.with_used(words[1:] if words[:1] == ("dsttool",) else words)
        if walk(self.outlines, words).outline.path in _OWN_PROCESS:
            self.code = self._run_process(words)
        else:
            self.code = self._run_here(words)
        return self.code

    def run_script(self, lines: Iterable[tuple[int | str, str]], place: str) -> None:
        """Run numbered lines up to the first that fails, which raises Stopped (KeyboardInterrupt for Ctrl-C).

        place: what the numbers count: "line", "FILE, line".
        """
        for number, text in lines:
            if self.run(text) == 128 + signal.SIGINT:
                raise KeyboardInterrupt
            if self.code:
                raise Stopped(f"{place} {number}", text, self.code)

    def with_used(self, words: Sequence[str]) -> list[str]:
        """The words with the used name where the name of what a command is about was left out."""
        named = self.named(words)
        if not named or words[0] in BEFORE_COMMANDS:
            return list(words)
        here = walk(self.outlines, words)
        # A name has no '='; and where anything may follow the name, as in `iostat`, a number is no name.
        left_out = (
            len(here.words) < max(1, here.outline.required)
            or "=" in here.words[0]
            or (here.outline.endless and here.words[0].isdigit())
        )
        return named if left_out else list(words)

    def named(self, words: Sequence[str]) -> list[str]:
        """The words of a command with the used name as its first argument; nothing where it cannot be."""
        here = walk(self.outlines, words)
        first = here.outline.arguments[:1]
        path = here.outline.path
        if not self.used or here.lost or here.pending or path in _SEVERE or not set(first) & set(_USABLE):
            return []
        count = len(words)
        at = next((i for i in range(count) if walk(self.outlines, words[: i + 1]).words), count)
        return [*words[:at], self.used, *words[at:]]

    def _run_here(self, words: Sequence[str]) -> int:
        with _no_input() if self.scripted else nullcontext():
            code = failure.run([*self._options, *words], self.tree)
        sys.stdout.flush()
        sys.stderr.flush()
        if code in (128 + signal.SIGTERM, 128 + signal.SIGHUP):
            raise Terminated(code - 128)  # The command took what was meant for the console.
        return code

    def _run_process(self, words: Sequence[str]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        # -P: what lies in the folder we are in must not be taken for dsttool.
        command = [sys.executable, "-P", "-m", "dsttool", *self._options, *words]
        # Ctrl-C reaches the process as well, and it is its end that is waited for.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with subprocess.Popen(command, stdin=subprocess.DEVNULL if self.scripted else None) as process:
                try:
                    code = process.wait()
                except BaseException:
                    process.terminate()
                    raise
        finally:
            signal.signal(signal.SIGINT, before)
        return 128 - code if code < 0 else code


def options_of(settings: Settings) -> list[str]:
    """Options for every command, from those of the console."""
    options = [word for host in settings.hosts for word in ("--host", host)]
    if settings.format != "table":
        options += ["--output", settings.format]
    if settings.color != "auto":
        options += ["--color", settings.color]
    return [*options, *["--quiet"] * settings.quiet, *["--verbose"] * settings.verbose]


@contextmanager
def _no_input() -> Iterator[None]:
    """Whoever reads gets nothing: the standard input is the script."""
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = before
