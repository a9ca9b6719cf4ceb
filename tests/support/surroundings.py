"""What a test run inherits from whoever started it, made the same everywhere."""

import os
import signal
from types import FrameType

# What steers dsttool and the programs it is tested with, beyond all that begins with DSTTOOL_.
_STEERING = (
    *("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES", "TMUX", "PS1", "PROMPT_COMMAND", "INPUTRC"),
    *("PAGER", "MANPAGER", "MANOPT", "MANWIDTH", "MANROFFOPT", "LESS", "LANGUAGE"),
    *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"),
    *("JOURNAL_STREAM", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONUNBUFFERED", "PYTHONWARNINGS"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"),
)


def make_neutral() -> None:
    """Forget what steers programs, and what nohup or a shell's `&` had this process ignore.

    Ignored signals are inherited by every process that is started; handled ones are not.
    """
    for name in [name for name in os.environ if name.startswith("DSTTOOL_") or name in _STEERING]:
        del os.environ[name]
    os.environ["LC_ALL"] = "C.UTF-8"
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _pass_over)  # the run itself goes on, as was wanted


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    pass
