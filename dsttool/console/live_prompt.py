"""The console on a terminal that can be drawn on."""

import asyncio
import shutil
import signal
import threading
from functools import partial
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from dsttool.cli.settings import Settings
from dsttool.cli.signals import Terminated, terminable
from dsttool.console import toolbar
from dsttool.console.commands import Leave
from dsttool.console.completer import WordCompleter
from dsttool.console.history import FileHistory, history_file
from dsttool.console.lines import split
from dsttool.console.live import Live, live
from dsttool.console.session import Session
from dsttool.engine.control import clock
from dsttool.engine.vocabulary.errors import DsttoolError

_REFRESH_SECONDS: Final = 1.0
# Lines below the prompt that are kept free for completions, where there are so many.
_MENU_LINES: Final = 8
_STYLE: Final = Style.from_dict({"bottom-toolbar": "noreverse"})


def run(session: Session, settings: Settings) -> None:
    """Read lines and run them until somebody leaves."""
    with live(settings) as known:
        # Commands are imported while the first line is being typed.
        threading.Thread(target=lambda: list(session.outlines.all()), name="outlines", daemon=True).start()
        typing = _typing(session, known, settings)
        while True:
            try:
                text = typing.prompt(pre_run=_end_by_signals)
                with terminable():
                    session.run_typed(text)
                if session.code == 128 + signal.SIGINT:
                    print()  # The terminal has shown ^C, and a prompt has to begin its line.
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return


def _end_by_signals() -> None:
    """SIGTERM and SIGHUP end the prompt in order. If they raised Terminated wherever they come, as elsewhere,
    it would be taken for a defect of what was just being drawn, and shown.
    """
    app = get_app()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, partial(app.exit, exception=Terminated(number)))


def _typing(session: Session, known: Live, settings: Settings) -> "PromptSession[str]":
    following = known.following

    def message() -> ANSI:
        with following.lock:
            return ANSI(
                toolbar.prompt(following.picture, clock.now_ns(), settings, session.used, session.code)
            )

    def bottom() -> ANSI:
        with following.lock:
            return ANSI(
                toolbar.toolbar(following.picture, clock.now_ns(), settings, session.used, _columns())
            )

    @Condition
    def unfinished() -> bool:
        text = typing.default_buffer.text
        awaited = split(text).open
        return bool(awaited) and not (awaited == "\\" and text.endswith("\n"))

    typing: PromptSession[str] = PromptSession(
        message,
        multiline=unfinished,
        completer=ThreadedCompleter(WordCompleter(session, known.names)),
        complete_while_typing=True,
        complete_style=CompleteStyle.COLUMN,
        auto_suggest=AutoSuggestFromHistory(),
        history=_history(),
        bottom_toolbar=bottom,
        enable_suspend=True,
        refresh_interval=_REFRESH_SECONDS,
        prompt_continuation="... ",
        style=_STYLE,
        color_depth=None if settings.coloured() else ColorDepth.DEPTH_1_BIT,
    )

    def make_room(app: "Application[str]") -> None:
        # Without room for them prompt_toolkit says that the window is too small, and shows no prompt either.
        typing.reserve_space_for_menu = max(0, min(_MENU_LINES, app.output.get_size().rows - 3))

    typing.app.before_render += make_room
    return typing


def _history() -> History:
    try:
        return FileHistory(history_file())
    except DsttoolError:
        return InMemoryHistory()  # There is no folder for it; that is no reason to keep anybody from typing.


def _columns() -> int:
    return shutil.get_terminal_size().columns
