"""A terminal with a screen that can be read: tmux, on a socket of the test's own."""

import re
import shlex
import subprocess
import time
from types import TracebackType

from support.site import Site, wait_until

WAIT_SECONDS = 40.0
# What the environment says of other terminals than this one.
_OTHERS = ("TMUX", "NO_COLOR", "COLUMNS", "LINES")


class Terminal:
    """Runs a command in a window of (columns, rows). When it ends its exit code is shown ("code 0"), and the
    settings of the terminal ("settings ..."), and a shell's `cat` keeps the window.
    """

    def __init__(self, site: Site, *command: object, size: tuple[int, int] = (120, 40)) -> None:
        self._site = site
        self._tmux_folder = site.folder / "tmux"
        self._tmux_folder.mkdir(exist_ok=True)
        self._others = set(site.processes())
        words = shlex.join(str(word) for word in command)
        script = f'{words}; echo "code $?"; echo "settings $(stty -a | tr "\\n" " ")"; exec cat'
        width, height = (str(each) for each in size)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "sh", "-c", script)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        others = self._others | {daemon.process.pid for daemon in self._site.daemons}
        ours = set(self._site.processes()) - others
        self.tmux("kill-server")
        wait_until(lambda: not ours & set(self._site.processes()), "the terminal's processes end")

    def tmux(self, *words: str) -> str:
        """A tmux command's answer."""
        env = self._site.env | {
            "TMUX_TMPDIR": str(self._tmux_folder),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        env = {name: value for name, value in env.items() if name not in _OTHERS}
        done = subprocess.run(
            ["tmux", "-L", "dsttool", *words],
            capture_output=True, text=True, check=False, env=env, timeout=WAIT_SECONDS, cwd=self._site.folder,
        )  # fmt: skip
        assert done.returncode == 0, f"tmux {words}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def keys(self, *names: str) -> None:
        """Type keys, by tmux's names."""
        self.tmux("send-keys", *names)

    def resize(self, width: int, height: int) -> None:
        """Make the window another size."""
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def shown(self) -> str:
        """What is on the screen."""
        return self.tmux("capture-pane", "-p")

    def wait(self, pattern: str, seconds: float = WAIT_SECONDS) -> str:
        """Wait until the screen shows what matches; what it shows then."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, shown := self.shown(), re.MULTILINE):
            assert time.monotonic() < deadline, f"{pattern!r} was not shown within {seconds} s:\n{shown}"
            time.sleep(0.05)
        return shown

    def is_restored(self) -> bool:
        """Whether the terminal is as it was before: its own screen, a cursor, no mouse, lines with echo."""
        flags = self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}")
        settings = self.tmux("capture-pane", "-p", "-J").partition("settings ")[2]
        return flags == "0 1 0" and " icanon " in settings and " echo " in settings
