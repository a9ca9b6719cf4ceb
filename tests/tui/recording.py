"""A place whose daemons only write down what they are told."""

from types import TracebackType
from typing import Any

from dsttool.engine.control.place import LOCAL
from dsttool.engine.vocabulary.errors import DsttoolError

Told = tuple[str, str, dict[str, Any], dict[str, Any] | None]


class Recorder:
    """told: (daemon, command, arguments, expect) of every message. error: the answer, if it is none."""

    name = LOCAL

    def __init__(self, answer: Any = None, error: DsttoolError | None = None) -> None:
        self.answer = answer
        self.error = error
        self.told: list[Told] = []

    def connect(self, daemon: str, timeout: float = 5.0) -> "Recorder.Client":
        return Recorder.Client(self, daemon)

    class Client:
        def __init__(self, place: "Recorder", daemon: str) -> None:
            self._place, self._daemon = place, daemon

        def __enter__(self) -> "Recorder.Client":
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            pass

        def wait(self, timeout: float, command: str, *, expect: Any = None, **arguments: Any) -> Any:
            self._place.told.append((self._daemon, command, arguments, expect))
            if self._place.error is not None:
                raise self._place.error
            return self._place.answer
