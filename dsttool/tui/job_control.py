"""Ctrl-Z and `fg`: the terminal is given back while the process is stopped, and taken again afterwards.

    drawing --SIGTSTP--> given back, stopped --SIGCONT in the foreground--> drawing
    drawing --SIGSTOP--> stopped as it is    --SIGCONT in the foreground--> given back and taken, drawing
    stopped --SIGCONT in the background (`bg`)--> stopped: there is no terminal to draw on

Textual's own handlers take the terminal twice after SIGSTOP, and draw nothing again after `fg`.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

_SIGNALS: Final = (signal.SIGTSTP, signal.SIGCONT)


class Terminal(Protocol):
    """What is asked of Textual's driver."""

    def suspend_application_mode(self) -> None:
        """Give the terminal back."""

    def resume_application_mode(self) -> None:
        """Take it again."""


class JobControl:
    """Of this process, whose main thread it is made in."""

    def __init__(self, terminal: Terminal, drawn_again: Callable[[], object]) -> None:
        """drawn_again: called when everything has to be drawn anew."""
        self._terminal = terminal
        self._drawn_again = drawn_again
        self._given_back = False
        for each, handler in zip(_SIGNALS, (self._stop, self._go_on)):
            signal.signal(each, handler)

    def _stop(self, *_: object) -> None:
        self._terminal.suspend_application_mode()
        self._given_back = True
        os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self, *_: object) -> None:
        if not _in_foreground():
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if not self._given_back:
            self._terminal.suspend_application_mode()
        self._given_back = False
        self._terminal.resume_application_mode()
        self._drawn_again()


def can_stop() -> bool:
    """Whether there is a shell from whose job control a stopped process comes back: our parent, or whoever is
    in between, is in another process group of our session.
    """
    try:
        parent = os.getppid()
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return True  # No job control here: nobody would bring it to the foreground.
