"""A process that serves: detached with its readiness reported back, or in the foreground.

    command ---fork---> middle ---setsid, fork---> daemon
       |  waits on a pipe <-- one JSON line: ready, or why not --|

The fork happens before any thread exists. The command returns when the daemon serves, or raises the
error that the daemon met; a daemon that dies without a word is an error too.

A daemon holds the lock of its names from before its first to after its last line of log, so that the
log of a name is only written, and put aside, by the one daemon that has the name.
"""

import faulthandler
import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from dsttool.engine.config import paths
from dsttool.engine.control import messages
from dsttool.engine.control.lock import NameLock
from dsttool.engine.host import service
from dsttool.engine.host.log_lines import Format
from dsttool.engine.host.logs import LOG_BYTES_KEPT, Logs
from dsttool.engine.vocabulary.errors import DsttoolError, from_oserror

Report = dict[str, Any]
Ready = Callable[[Report], None]
"""Called once by a daemon when it serves, with what its starter wants to know."""
Serve = Callable[[NameLock, Ready], int]
"""A daemon's life under its names: prepares, calls its Ready, serves; its exit code once it has ended."""

LOG = logging.getLogger(__name__)

# Some servers' worth of clients (limits.CLIENTS_MAX each), and devices beside them.
DESCRIPTORS: Final = 16_384


def detach(names: list[str], serve: Serve, verbose: int = 0, form: Format | None = None) -> Report:
    """Run `serve` in a daemon of these names; its report once it is ready, or the error it raised.

    Its log goes to NAME.log in the runtime folder, NAME being the first; form: of its lines. Conflict if a
    name is taken.
    """
    log_path = paths.log_file(names[0])

    def put_aside() -> None:
        _redirect(log_path)

    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle == 0:
        os.close(reader)
        os.setsid()
        if os.fork():
            os._exit(0)
        _leave_inherited()
        _live(
            names,
            serve,
            writer,
            log_path,
            lambda: Logs(verbose, put_aside=put_aside, file=log_path, form=form),
        )
    os.close(writer)
    os.waitpid(middle, 0)
    with open(reader, "rb") as pipe:
        line = pipe.readline()
    if not line:
        raise DsttoolError(f"The daemon {names[0]} ended before it was ready.", f"Look into {log_path}.")
    message = json.loads(line)
    if "failure" in message:
        raise messages.failure_from_json(message["failure"])
    report: Report = message["report"]
    return report


def _leave_inherited() -> None:
    """Close what whoever ran the command had open: a lock would be held, and the end of a pipe waited for.

    Python's own descriptors are none of that: what has one would close it again, under its next owner.
    """
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing itself
            if int(name) > 2 and os.get_inheritable(int(name)):
                os.close(int(name))


def _live(
    names: list[str], serve: Serve, writer: int, log_path: Path, open_logs: Callable[[], Logs]
) -> NoReturn:
    """The daemon's process, from birth to its end; never returns."""
    told = False

    def tell(message: dict[str, Any]) -> None:
        nonlocal told
        if not told:
            told = True
            os.write(writer, json.dumps(message).encode() + b"\n")
            os.close(writer)

    def ready(report: Report) -> None:
        os.chdir("/")  # Relative paths have been opened; keep no folder busy from here on.
        tell({"report": report})

    code = 1
    try:
        paths.pin()
        with NameLock(names) as lock:
            code = _serve_logged(lambda: serve(lock, ready), log_path, open_logs)
    except DsttoolError as error:
        code = error.exit_code
        tell({"failure": messages.failure_to_json(error)})
    except OSError as error:
        failure = from_oserror(error, f"use {error.filename}" if error.filename else f"start {names[0]}")
        code = failure.exit_code
        tell({"failure": messages.failure_to_json(failure)})
    except BaseException as error:  # noqa: BLE001 - nothing above catches it, and the starter waits
        failure = DsttoolError(f"The daemon failed: {error!r}.", f"Look into {log_path}.")
        tell({"failure": messages.failure_to_json(failure)})
    finally:
        os._exit(code)


def _serve_logged(serve: Callable[[], int], log_path: Path, open_logs: Callable[[], Logs]) -> int:
    """`serve` with its output, and why it failed if it did, in the log. Its name must be locked."""
    _redirect(log_path)
    logs = open_logs()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return serve()
    except DsttoolError as error:
        LOG.error("%s", error)
        raise
    except BaseException:
        LOG.exception("the daemon failed")
        raise
    finally:
        logs.close()


def _redirect(log_path: Path) -> None:
    """Input from nothing, output to the log."""
    try:
        if log_path.exists() and log_path.stat().st_size > LOG_BYTES_KEPT:
            log_path.replace(log_path.with_suffix(".log.1"))
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise from_oserror(error, f"write {log_path}") from error
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)


def spare_from_signals() -> None:
    """While a daemon starts, which may take long: it is not ended by those who ask for its state, or to read
    again what it is about to read. See `on_signals`.
    """
    if service.is_managed() or not _has_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def on_signals(stop: Callable[[int], None], reload: Callable[[], None], dump: Callable[[], None]) -> None:
    """What signals mean from now on; all but SIGUSR1 are told in the main thread, between steps of Python.

    SIGTERM and SIGINT call `stop` with their number; a second one ends the process at once. SIGHUP calls
    `reload`; but it stops what runs in the foreground of a terminal, which has been hung up. SIGUSR1 writes
    the stacks of all threads to stderr and calls `dump`, in a thread of its own: even if the reactor is
    stuck, and one after the other however many come (faulthandler's own handler, chained, nests on its
    small stack until that is full).
    """

    def first(number: int, _frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, second)
        stop(number)

    def second(number: int, _frame: object) -> None:
        os._exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, first)
    if service.is_managed() or not _has_terminal():
        signal.signal(signal.SIGHUP, lambda _number, _frame: reload())
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        signal.signal(signal.SIGHUP, first)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_dump_when_told, args=(reader, dump), name="signals", daemon=True).start()


def _dump_when_told(reader: int, dump: Callable[[], None]) -> None:
    """The numbers of signals come by this pipe as soon as they are delivered, to whichever thread."""
    while numbers := os.read(reader, 4096):
        if signal.SIGUSR1 in numbers:
            with suppress(OSError, ValueError):  # there is no stderr
                faulthandler.dump_traceback()
            dump()


def _has_terminal() -> bool:
    """Whether a terminal controls this process, so that its end is told by SIGHUP."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def allow_descriptors() -> None:
    """Let this process have as many descriptors as clients may need, as far as the system admits.

    The usual soft limit of 1024 is meant for programs that call select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
