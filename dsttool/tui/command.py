"""The line after `:`, which runs a dsttool command, and the screen with what that says.

The command is a process of its own, started as from a shell, and asks nothing. Leaving its screen ends it.
"""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen
from textual.suggester import Suggester
from textual.widgets import Input

from dsttool.engine.vocabulary.suggest import suggest
from dsttool.tui.cells import clean
from dsttool.tui.lines import Back, Lines, Pieces
from dsttool.tui.page import Page

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

# More lines than this nobody scrolls through; the first ones go.
_LINES_MAX: Final = 10_000
# After Ctrl-C a process has so many seconds before it is killed.
_LEAVE_SECONDS: Final = 3.0


class Command(NamedTuple):
    """A command by its words ("node", "suspend"). reads: whether it changes nothing."""

    words: tuple[str, ...]
    reads: bool


class Refused(Exception):
    """Not run, and why, in a sentence."""


def chosen(text: str, commands: Sequence[Command], *, read_only: bool) -> list[str]:
    """The words of a line, as a shell splits them, without `dsttool`. Raises Refused."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Refused(f"This is no command line: {error}.") from None
    words = words[1:] if words[:1] == ["dsttool"] else words
    if not words:
        raise Refused("Type a command, for example: status.")
    if not read_only:
        return words
    named = [each for each in commands if tuple(words[: len(each.words)]) == each.words]
    if any(each.reads for each in named):
        return words
    if named:
        raise Refused(f"`{' '.join(named[0].words)}` may change something, and the screen is --read-only.")
    near = suggest(words[0], [each.words[0] for each in commands])
    raise Refused(
        f"With --read-only the command comes first. {f'Did you mean {near}?' if near else ''}".strip()
    )


class Words(Suggester):
    """Completes the next word of a command from the names there are."""

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._lines = [" ".join(each.words) for each in commands]

    async def get_suggestion(self, value: str) -> str | None:
        """As Textual's: the first command that begins like this, up to its next word."""
        return next((line for line in self._lines if value and line.startswith(value)), None)


class CommandLine(ModalScreen[list[str] | None]):
    """One line at the bottom. It ends with the words to run, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Leave")]
    DEFAULT_CSS = """
    CommandLine { align: left bottom; background: $background 0%; }
    CommandLine Input, CommandLine Input:focus { border: none; height: 1; padding: 0 1; background: $panel; }
    CommandLine Lines { display: none; }
    CommandLine.-wrong Lines { display: block; }
    """

    def __init__(self, commands: Sequence[Command], *, read_only: bool) -> None:
        super().__init__()
        self._commands = commands
        self._read_only = read_only
        self._wrong = Lines()

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._wrong
        yield Input(
            placeholder=": a command, as after `dsttool` (→ completes, Enter runs it, Esc leaves)",
            suggester=Words(self._commands),
            compact=True,
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Run it, or say what is wrong."""
        try:
            self.dismiss(chosen(event.value, self._commands, read_only=self._read_only))
        except Refused as error:
            self._wrong.put([[(f" {clean(str(error))}", "bad")]])
            self.set_class(True, "-wrong")


class OutputText(Page):
    """What the process said so far."""

    LABEL = "OUTPUT"

    def __init__(self) -> None:
        super().__init__()
        self._said: list[Pieces] = []

    def add(self, text: str, role: Any = "") -> None:
        """One line more; whoever reads the end goes on reading the end."""
        at_end = self._top >= len(self._lines) - self._room
        self._said.append([(" " + clean(text.expandtabs()), role)])
        del self._said[:-_LINES_MAX]
        self.reread()
        if at_end:
            self.action_jump(-1)

    def content(self, width: int) -> list[Pieces]:
        """As Page's."""
        return list(self._said)

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's; nothing of it is about the picture."""


class Output(Screen[None]):
    """A process, and what it says until it ends."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "app.back", "Back")]

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._words = words
        self._title = Lines()
        self._text = OutputText()
        self._process: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._title
        yield self._text
        yield Back()

    def on_mount(self) -> None:
        """Start it."""
        self._title.put([[(f" $ {clean(shlex.join(['dsttool', *self._words]))}", "strong")]])
        self._process = asyncio.create_task(self._run())

    async def on_unmount(self) -> None:
        """End it."""
        if self._process is not None and not self._process.done():
            self._process.cancel()
            await asyncio.gather(self._process, return_exceptions=True)

    async def _run(self) -> None:
        # As wide as the screen for what wraps to it; without colour, which would be shown as its bytes.
        env = os.environ | {"NO_COLOR": "1", "COLUMNS": str(max(40, self.app.size.width - 2))}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dsttool", "--no-input", *self._words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=env,
        )
        assert process.stdout is not None
        try:
            while line := await _line(process.stdout):
                self._text.add(line.decode(errors="replace").rstrip("\r\n"))
            code = await process.wait()
            self._text.add(f"Ended with exit code {code}.", "dim" if code == 0 else "bad")
        finally:
            if process.returncode is None:
                await _end(process)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or part of one that is too long; nothing at the end."""
    try:
        return await stream.readline()
    except ValueError:
        return await stream.read(1 << 16)


async def _end(process: asyncio.subprocess.Process) -> None:
    """As Ctrl-C does, and if that does not help, as kill -9."""
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), _LEAVE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
