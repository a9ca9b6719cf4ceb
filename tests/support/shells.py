"""Interactive shells on a terminal of their own, that complete dsttool's command lines.

Each reports, besides showing it, what its completion function found for a line, and what the line was after
TAB: what a terminal shows is full of redrawing.
"""

import sys
from pathlib import Path

import pexpect

from support.site import START_SECONDS, Site, wait_until

SCRIPTS = Path(__file__).parents[2] / "completions"
# dsttool, but daemons have time to answer the lists of names on machines with much else to do, too.
PATIENT = """
from dsttool.cli import names
names.ANSWER_SECONDS, names.TOTAL_SECONDS = 20.0, 30.0
from dsttool.__main__ import main
main()
"""
_TAB, _REPORT, _CLEAR = "\t", "\x18p", "\x15"

_BASH = r"""
source {script}
eval "plain_$(declare -f _dsttool_reply)"
_dsttool_reply() {{
    printf '%s\n' "${{found[@]}}" END >"$FOUND"
    plain__dsttool_reply
}}
report() {{ printf '%s\nEND\n' "$READLINE_LINE" >"$LINE"; }}
bind -x '"\C-xp": report'
bind 'set bell-style none'
bind 'set page-completions off'
bind 'set completion-query-items 0'
bind 'set enable-bracketed-paste off'
PS1='ready> '
"""

_ZSH = r"""
autoload -U compinit
compinit -D -u
{load}
compadd() {{
    if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a hits
    builtin compadd -A hits "$@"
    print -rl -- $hits >>$FOUND.part
    builtin compadd "$@"
}}
ends() {{ print END >>$FOUND.part; mv $FOUND.part $FOUND }}
tab() {{ comppostfuncs=(ends); zle expand-or-complete }}
zle -N tab
report() {{ print -rl -- "$BUFFER" END >$LINE }}
zle -N report
bindkey -e
bindkey '^I' tab
bindkey '^Xp' report
bindkey '^U' kill-whole-line
unsetopt beep
zstyle ':completion:*' use-cache no
LISTMAX=0
PS1='ready> '
"""

_FISH = r"""
source {script}
function fish_prompt; echo -n 'ready> '; end
function fish_greeting; end
set -g fish_autosuggestion_enabled 0
function report; commandline >$LINE; echo END >>$LINE; end
bind \cxp report
bind \cu 'commandline ""'
"""


class Shell:
    """One interactive shell, with dsttool's completions, in a site's folder."""

    def __init__(self, site: Site, name: str, *, in_fpath: bool = False) -> None:
        self.name, self.shown = name, ""
        self._folder = site.folder / f"{name}-home"
        self._folder.mkdir(exist_ok=True)
        self._found, self._line = self._folder / "found", self._folder / "line"
        tools = site.folder / "bin"
        tools.mkdir(exist_ok=True)
        program = tools / "dsttool"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PATIENT}" "$@"\n')
        program.chmod(0o755)
        environment = {key: value for key, value in site.env.items() if key not in ("PS1", "PROMPT_COMMAND")}
        environment |= {
            "PATH": f"{tools}:{site.env['PATH']}",
            "HOME": str(self._folder),
            "ZDOTDIR": str(self._folder),
            "FOUND": str(self._found),
            "LINE": str(self._line),
            "TERM": "xterm",
        }
        self._process = pexpect.spawn(
            *self._command(in_fpath),
            env=environment,
            cwd=str(site.folder),
            dimensions=(50, 200),
            timeout=START_SECONDS,
            encoding="utf-8",
        )
        self._process.expect_exact("ready> ")

    def _command(self, in_fpath: bool) -> tuple[str, list[str]]:
        """How the shell is started without any configuration but ours."""
        setup = self._folder / "setup"
        if self.name == "bash":
            setup.write_text(_BASH.format(script=SCRIPTS / "dsttool.bash"))
            return "bash", ["--noprofile", "--rcfile", str(setup)]
        if self.name == "zsh":
            load = "" if in_fpath else f"source {SCRIPTS / '_dsttool'}"
            before = f"fpath=({SCRIPTS} $fpath)\n" if in_fpath else ""
            (self._folder / ".zshrc").write_text(before + _ZSH.format(load=load))
            return "zsh", ["-d"]
        setup.write_text(_FISH.format(script=SCRIPTS / "dsttool.fish"))
        return "fish", ["--no-config", "-C", f"source {setup}"]

    def found(self, line: str, back: int = 0) -> set[str]:
        """What the completion function finds for a line, with the cursor `back` characters before its end."""
        if self.name == "fish" and not back:
            return self._fish_finds(line)
        self._found.unlink(missing_ok=True)
        self._type(line, back)
        self._process.send(_TAB)
        words = self._read(self._found)
        self._clear()
        return {word for word in words if word}

    def after_tab(self, line: str, back: int = 0) -> str:
        """The line as it is after TAB was pressed in it."""
        self._type(line, back)
        self._process.send(_TAB)
        return self.line()

    def line(self) -> str:
        """The line as it is now; then it is emptied."""
        self._line.unlink(missing_ok=True)
        self._process.send(_REPORT)
        text = "\n".join(self._read(self._line))
        self._clear()
        return text

    def close(self) -> None:
        """End the shell."""
        self._process.close(force=True)

    def _type(self, line: str, back: int) -> None:
        self._process.send(line + "\x02" * back)

    def _clear(self) -> None:
        self._process.send("\x05" + _CLEAR)

    def _fish_finds(self, line: str) -> set[str]:
        self._found.unlink(missing_ok=True)
        quoted = line.replace("\\", "\\\\").replace("'", "\\'")
        self._process.send(
            f" complete -C '{quoted}' >$FOUND.part; echo END >>$FOUND.part; mv $FOUND.part $FOUND\r"
        )
        return {word.partition("\t")[0] for word in self._read(self._found)}

    def _read(self, path: Path) -> list[str]:
        """A report of the shell, once it is whole; what the terminal shows meanwhile is taken off it."""

        def whole() -> bool:
            try:
                self.shown += self._process.read_nonblocking(1 << 16, timeout=0)
            except pexpect.TIMEOUT:
                pass
            return path.exists() and path.read_text().endswith("END\n")

        wait_until(whole, f"the report {path.name} of {self.name}, which shows {self.shown[-500:]!r}")
        return path.read_text().removesuffix("END\n").splitlines()
