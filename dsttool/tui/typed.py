"""Keys one after the other: the next is looked at when all of the one before has been done.

Textual gives a key to what has the focus when it comes. Of keys that come at once (over a slow line, pasted,
from a script) those after `/` or `:` would go to the pane that had the focus before.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from textual import events
from textual.app import App
from textual.message import Message

# Keys that wait; what is typed beyond that is not heard.
_WAITING_MAX: Final = 1000
# Seconds after which a key is taken to be done, if what had it went away with it.
_DONE_SECONDS: Final = 1.0


class Passed(Message):
    """What came before it, to the same widget, is done."""


class Typed:
    """The keys of an app. handle: what Textual does with one."""

    def __init__(self, app: App[int], handle: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._handle = handle
        self._waiting: deque[events.Key] = deque()
        self._overdue: asyncio.TimerHandle | None = None

    async def take(self, key: events.Key) -> None:
        """A key has come."""
        if len(self._waiting) < _WAITING_MAX:
            self._waiting.append(key)
        if self._overdue is None:
            await self.next()

    async def next(self) -> None:
        """The one before is done."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if not self._waiting:
            return
        self._overdue = asyncio.get_running_loop().call_later(_DONE_SECONDS, self._app.post_message, Passed())
        screen = self._app.screen
        if not screen.is_mounted:
            screen.post_message(Passed())  # it is looked at once the screen is there, and has a focus
            return
        target = self._app.focused or screen
        await self._handle(self._waiting.popleft())
        target.post_message(Passed())
