"""`dsttool tui`: follows a source of pictures, and does what keys say."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.message import Message

from dsttool.engine.control.picture import Picture
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.tui import acting, cells, job_control, keys, lines, look, svg
from dsttool.tui.command import Command, CommandLine, Output
from dsttool.tui.details import Detail
from dsttool.tui.events import Events
from dsttool.tui.filtering import FilterLine
from dsttool.tui.graphs import Graphs
from dsttool.tui.help import Help
from dsttool.tui.main import Main
from dsttool.tui.palette import Everything
from dsttool.tui.panel import Panel
from dsttool.tui.replay import Replay
from dsttool.tui.sending import Sender
from dsttool.tui.source import Source, frozen
from dsttool.tui.subject import Subject
from dsttool.tui.table import Table
from dsttool.tui.typed import Typed

if TYPE_CHECKING:
    from dsttool.engine.control.place import Place

# The screen follows at most so often; what comes sooner waits for the next time.
REFRESH_SECONDS: Final = 0.25
_TERMINATED: Final = 128 + signal.SIGTERM
# How long a terminal may take to take the last of the screen once the process is told to end.
_TERMINAL_SECONDS: Final = 3.0
_OF_RECORDINGS: Final = frozenset({"play", "step"})
# Actions on the main screen.
_OF_MAIN: Final = frozenset({"next_pane", "events", "filter", "sort", "help", "drill"})


class Tui(App[int]):
    """What daemons tell, drawn. Its return value is the exit code."""

    TITLE = "dsttool"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("", "replay")]
    COMMANDS = {Everything}

    class Changed(Message):
        """The source has something new."""

    def __init__(
        self,
        source: Source,
        *,
        places: "Sequence[Place]" = (),
        commands: Sequence[Command] = (),
        ascii: bool = False,
        theme: str = "",
        read_only: bool = False,
    ) -> None:
        """places: where actions go; none for a recording. commands: those there are. ascii: nothing else goes
        to the terminal. theme: one of look.THEMES. read_only: without actions.

        Colours are left out if NO_COLOR is set.
        """
        # Without colours those of the terminal are the only ones that say "default" all the way through.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        for each in look.THEMES.values():
            self.register_theme(each)
        self.theme = theme or next(iter(look.THEMES))
        self.animation_level = "none"
        self.ascii = ascii
        if ascii:
            self._filters.append(look.Ascii())
        self.source = source
        self.read_only = read_only
        self.filter = ""
        self.sender = Sender(places)
        self.acting = acting.Acting(self, self.sender, lambda: source.picture, read_only=read_only)
        self._commands = commands
        self._typed = Typed(self, super().on_event)
        self.main = Main()
        self.scheduled = False
        self._followed = 0.0
        self._frozen: Picture | None = None
        self._frozen_ns = 0

    @property
    def picture(self) -> Picture:
        """What is shown: what is known now, or was when the screen was frozen."""
        return self._frozen or self.source.picture

    @property
    def now_ns(self) -> int:
        """The time at which the picture is looked at, by the clock of Update.received_ns."""
        return self._frozen_ns if self._frozen else self.source.now_ns()

    @property
    def subject(self) -> Subject | None:
        """What the cursor of the focused pane is on; that of the tree, if the pane has none."""
        pane = self.main.tree_ if isinstance(self.focused, Graphs) else self.focused
        subject: Subject | None = getattr(pane, "subject", None)
        return subject

    def get_default_screen(self) -> Main:
        """As Textual's."""
        return self.main

    def on_mount(self) -> None:
        """Begin to watch. The screen does not wait for what comes."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            # Not the loop's own handler: the loop stands still while a terminal takes nothing.
            signal.signal(signal.SIGTERM, lambda *_: self._terminate(loop))
            if self._driver is not None and self._driver.can_suspend:
                job_control.JobControl(self._driver, lambda: loop.call_soon_threadsafe(self._draw_all))
        self.set_interval(1.0, self._second)
        self.call_after_refresh(self._begin)

    def _terminate(self, loop: asyncio.AbstractEventLoop) -> None:
        """End soon, and give the terminal back, but do not wait for one that takes nothing (Ctrl-S)."""
        signal.signal(signal.SIGALRM, lambda *_: os._exit(_TERMINATED))
        signal.setitimer(signal.ITIMER_REAL, _TERMINAL_SECONDS)
        loop.call_soon_threadsafe(self.exit, _TERMINATED)

    def action_suspend(self) -> None:
        """Stop, for the shell; `fg` comes back."""
        if job_control.can_stop():
            os.kill(os.getpid(), signal.SIGTSTP)
        else:
            self.notify("There is no shell here to come back from.", severity="warning", markup=False)

    def _draw_all(self) -> None:
        """Nothing of what the terminal shows is ours any more."""
        self.refresh(layout=True)
        self.redraw()

    def on_unmount(self) -> None:
        """Hang up."""
        self.source.close()

    async def on_event(self, event: events.Event) -> None:
        """As Textual's, but keys one after the other."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._typed.take(event)
        else:
            await super().on_event(event)

    async def on_passed(self) -> None:
        """A key is done."""
        await self._typed.next()

    def redraw(self) -> None:
        """Have every pane that can be seen show the picture."""
        picture, now_ns = self.picture, self.now_ns
        for screen in reversed(self.screen_stack):
            for panel in screen.query(Panel):
                if panel.display and panel.size and not self.main.small:
                    panel.show(picture, now_ns)
            if not screen.is_modal:  # what is behind a dialog goes on
                break
        self._draw_lines()

    def on_tui_changed(self) -> None:
        """Something came: follow it, unless that was just done."""
        if not self.scheduled:
            self.scheduled = True
            wait = self._followed + REFRESH_SECONDS - time.monotonic()
            # No timer of Textual's: when that is late, one that is to run once does not run at all.
            asyncio.get_running_loop().call_later(max(0.0, wait), self.call_next, self._follow)

    def on_resize(self) -> None:
        """Panes that were hidden have not followed."""
        self.call_after_refresh(self.redraw)

    def on_descendant_focus(self) -> None:
        """The keys below are those of the focused pane; it may just have come into sight."""
        self.call_after_refresh(self.redraw)

    def on_filter_line_entered(self, message: FilterLine.Entered) -> None:
        """Have the daemons apply a filter, or say what is wrong with it."""
        try:
            self.source.set_filter(message.text)
        except DsttoolError as error:
            self.main.filter_line.complain(str(error))
            return
        self.filter = message.text
        self.on_filter_line_left()

    def on_filter_line_left(self) -> None:
        """Give the keys back."""
        self.main.filter_line.close()
        self.main.focus_pane(self.main.transactions)

    def action_next_pane(self, by: int) -> None:
        """Go to the next pane."""
        self.main.next_pane(by)

    def action_events(self) -> None:
        """Show the events, and nothing else."""
        self.push_screen(Events())
        self.call_after_refresh(self.redraw)

    def action_filter(self) -> None:
        """Ask for a filter."""
        self.main.filter_line.open(self.filter)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """As Textual's: what keys do with the main screen's panes, they do only there."""
        if action in _OF_RECORDINGS and not isinstance(self.source, Replay):
            return False
        if action == "drill" and isinstance(self.screen, Events):
            return True
        return self.screen is self.main or action not in _OF_MAIN

    def pop_screen(self) -> AwaitComplete:
        """As Textual's; of two keys that both leave a screen the second finds it gone, and does nothing."""
        return super().pop_screen() if len(self.screen_stack) > 1 else AwaitComplete()

    async def action_back(self) -> None:
        """Leave what is open; on the main screen, forget the filter."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.filter:
            self.on_filter_line_entered(FilterLine.Entered(""))

    def action_sort(self) -> None:
        """Sort transactions by something else."""
        self.main.transactions.sort()

    def action_pause(self) -> None:
        """Freeze the screen, or go on; a recording stops instead."""
        if isinstance(self.source, Replay):
            self.source.toggle()
        elif self._frozen is None:
            self._frozen_ns = self.source.now_ns()
            self._frozen = frozen(self.source.picture)
        else:
            self._frozen = None
        self.redraw()

    def action_drill(self) -> None:
        """Show everything about what the cursor is on."""
        if self.subject is not None:
            self.drill(self.subject)

    def drill(self, subject: Subject) -> None:
        """Show everything about something."""
        level = self.main.graphs.level
        self.push_screen(Detail(subject, self.picture, self.now_ns, self.sender, level=level))
        self.call_after_refresh(self.redraw)

    def on_table_opened(self, _message: Table.Opened) -> None:
        """A row was clicked twice."""
        self.action_drill()

    def action_act(self) -> None:
        """Offer the actions on what the cursor is on."""
        self.acting.choose(self.picture, self.subject)

    def on_done(self, message: acting.Done) -> None:
        """A daemon has answered."""
        self.acting.done(message)

    def action_command(self) -> None:
        """Ask for a command line, and run it."""

        def run(words: list[str] | None) -> None:
            if words is not None:
                self.push_screen(Output(words))

        self.push_screen(CommandLine(self._commands, read_only=self.read_only), run)

    def action_export_svg(self) -> None:
        """Write what is on the screen to a file, and say where."""
        try:
            path = svg.write(self.export_screenshot(title="dsttool"), Path.cwd(), datetime.now())
        except DsttoolError as error:
            self.notify(f"{error}", severity="error", markup=False)
        else:
            self.notify(f"The screen is in {path}.", markup=False)

    def action_zoom(self, by: int) -> None:
        """Show a shorter time, or a longer one."""
        for graphs in self.screen.query(Graphs):
            graphs.zoom(by)

    def action_help(self) -> None:
        """Explain the focused pane."""
        self.push_screen(Help(self.focused if isinstance(self.focused, Panel) else None))

    def action_play(self) -> None:
        """Stop a recording, or let it go on."""
        if isinstance(self.source, Replay):
            self.source.toggle()

    def action_step(self, by: int) -> None:
        """Go a moment on in a recording, or back."""
        if isinstance(self.source, Replay):
            self.source.step(by)

    def action_theme(self) -> None:
        """Take the next theme."""
        names = list(look.THEMES)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    async def action_quit(self) -> None:
        """Leave."""
        self.exit(0)

    @property
    def failure(self) -> Exception | None:
        """What ended it that should not have happened."""
        return self._exception

    def _fatal_error(self) -> None:
        """As Textual's, without its report: the terminal is restored, and the caller says what happened."""
        self._close_messages_no_wait()

    def _begin(self) -> None:
        self._draw_lines()
        self.source.start(self._tell)

    def _tell(self) -> None:
        """From any thread."""
        self.post_message(self.Changed())

    def _follow(self) -> None:
        """Take what came, and show it."""
        self.scheduled = False
        self._followed = time.monotonic()
        if self.source.advance() and self._frozen is None:
            self.redraw()

    def _second(self) -> None:
        """The clock goes on, and the age of what is not heard of any more."""
        if self._frozen is None and self._is_something_unheard():
            self.redraw()
        else:
            self._draw_lines()

    def _is_something_unheard(self) -> bool:
        """Whether something shown grows older without any news of it."""
        lost = any(place.lost_since_ns is not None for place in self.picture.places.values())
        return lost or any(found.entry.stale(self.now_ns) for found in self.picture.daemons())

    def _draw_lines(self) -> None:
        if not self.screen_stack:
            return  # The screen is being left, and a timer has not heard of it yet.
        kind = self.focused.kind if isinstance(self.focused, Panel) else ""
        footer = lines.footer(self.main.size.width, kind)
        self.main.draw_lines(self.picture, self.now_ns, self.source.wall_ns(), self._notes(), footer)

    def _notes(self) -> lines.Pieces:
        """What is out of the ordinary about the screen itself."""
        notes: list[tuple[str, look.Role]] = []
        if self._frozen is not None:
            notes.append((f"▲ PAUSED {cells.age(self.source.now_ns() - self._frozen_ns)}", "warn"))
        if self.source.note:
            notes.append((self.source.note, "busy"))
        if self.filter:
            notes.append((f"filter {self.filter}", "busy"))
        if self.read_only:
            notes.append(("read-only", "dim"))
        return notes
