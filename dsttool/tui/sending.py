"""Control messages on their way: each in a thread of its own, so that the screen waits for none of them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dsttool.engine.control.messages import Expect
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, from_oserror

if TYPE_CHECKING:
    from dsttool.engine.control.place import Place

# Seconds to get hold of a daemon; it has as long as the message says for the answer.
_CONNECT_SECONDS: Final = 5.0


class Outcome(NamedTuple):
    """answer: what the daemon said, None if it failed; error: how."""

    answer: Any
    error: DsttoolError | None


class Sender:
    """Sends to the daemons of some places. Without any (a recording), nothing can be sent."""

    def __init__(self, places: "Sequence[Place]" = ()) -> None:
        self._places = {place.name: place for place in places}

    def __bool__(self) -> bool:
        return bool(self._places)

    def send(
        self,
        place: str,
        daemon: str,
        command: str,
        arguments: Mapping[str, Any],
        *,
        expect: Expect | None,
        seconds: float,
        tell: Callable[[Outcome], None],
    ) -> None:
        """Send one message. `tell` is called once, from a thread that dies with the process."""

        def work() -> None:
            try:
                outcome = Outcome(self._ask(place, daemon, command, arguments, expect, seconds), None)
            except DsttoolError as error:
                outcome = Outcome(None, error)
            except OSError as error:
                outcome = Outcome(None, from_oserror(error, f"ask {daemon}"))
            tell(outcome)

        threading.Thread(target=work, name=f"tui {command}", daemon=True).start()

    def _ask(
        self,
        place: str,
        daemon: str,
        command: str,
        arguments: Mapping[str, Any],
        expect: Expect | None,
        seconds: float,
    ) -> Any:
        if place not in self._places:
            raise NotFound(f"Nothing is connected to {place}.", "A recording cannot be told anything.")
        with self._places[place].connect(daemon, min(seconds, _CONNECT_SECONDS)) as client:
            return client.wait(seconds, command, expect=expect, **arguments)
