"""The console on a terminal that can only print: no completion, no line at the bottom, no escapes."""

import sys

from dsttool.console.commands import Leave
from dsttool.console.lines import split
from dsttool.console.session import Session


def run(session: Session) -> None:
    """Read lines and run them until somebody leaves."""
    while True:
        try:
            text = _read(session)
            if text is None:
                print()
                return
            session.run_typed(text)
        except KeyboardInterrupt:
            print()
        except Leave:
            return


def _read(session: Session) -> str | None:
    """What was typed, up to the end of a line that is whole; None at the end of input."""
    used = f"[{session.used}]" if session.used else ""
    failed = f"({session.code})" if session.code else ""
    print(f"dst{used}{failed}> ", end="", flush=True)
    text = sys.stdin.readline()
    while text and split(text).open:
        print("... ", end="", flush=True)
        more = sys.stdin.readline()
        if not more:
            return text
        text += more
    return text or None
