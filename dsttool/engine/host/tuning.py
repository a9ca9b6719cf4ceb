"""What can be tuned in a daemon while it runs.

    crypto.threads  {threads?}    control command: how many threads seal and open large records beside the
                                  reactor; 0 for none. Answers {"threads": from now on, "before": until now}

It begins with $DSTTOOL_CRYPTO_THREADS, if that is set, else with crypto_threads in dsttool.toml, else with
limits.CRYPTO_THREADS.
"""

import logging
import os
from typing import Any, Final

from dsttool.engine.config.machine_file import CRYPTO_THREADS_MAX, load_machine
from dsttool.engine.control.server import Answer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import UsageError

LOG = logging.getLogger(__name__)

THREADS_VARIABLE: Final = "DSTTOOL_CRYPTO_THREADS"


class Tuning:
    """Of one daemon. Raises UsageError for a bad environment variable, or what is wrong in dsttool.toml."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        asked = os.environ.get(THREADS_VARIABLE)
        if asked is not None:
            reactor.resize_crypto(_threads(int(asked) if asked.isdigit() else asked, f"${THREADS_VARIABLE}"))
        elif (configured := load_machine().crypto_threads) is not None:
            reactor.resize_crypto(configured)

    def crypto_threads(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The control command."""
        before = self._reactor.crypto_threads
        asked = arguments.get("threads")
        if asked is not None:
            self._reactor.resize_crypto(_threads(asked, "threads"))
            if self._reactor.crypto_threads != before:
                values = (self._reactor.crypto_threads, before)
                tell(LOG, "daemon.tuned", "", "%d threads seal large records, not %d", *values)
        answer({"threads": self._reactor.crypto_threads, "before": before})


def _threads(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= CRYPTO_THREADS_MAX:
        raise UsageError(
            f"{what} is {value!r}, and not a number from 0 to {CRYPTO_THREADS_MAX}.",
            "0 seals everything on the main thread.",
        )
    return value
