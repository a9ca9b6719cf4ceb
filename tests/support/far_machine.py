"""Another machine, as far as --host can tell: a program that stands for ssh and runs the command here.

It starts dsttool with the far machine's folders, after what a login shell may print.
"""

import shlex
import sys
from pathlib import Path

from support.site import Site

_SSH = """#!/bin/sh
echo "$@" >> {log}
while [ "$1" != "--" ]; do shift; done
shift; host=$1; shift
[ "$host" = "nowhere" ] && {{ echo "ssh: connect to host nowhere port 22: No route to host" >&2; exit 255; }}
[ "$host" = "bare" ] && exit 127
[ "$host" = "hung" ] && exec sleep 1000
echo "Welcome to $host"
export {variables}
shift
exec {python} -m dsttool "$@"
"""


class FarMachine:
    """The far machine of a site is another site; `log`: what ssh was asked for."""

    def __init__(self, site: Site, far: Site) -> None:
        self.log = site.path("ssh.log")
        program = site.path("ssh")
        names = ("CONFIG", "RUNTIME", "STATE")
        variables = " ".join(f"DSTTOOL_{name}_DIR={far.env[f'DSTTOOL_{name}_DIR']}" for name in names)
        text = _SSH.format(log=self.log, variables=variables, python=shlex.quote(sys.executable))
        program.write_text(text)
        program.chmod(0o755)
        site.env["DSTTOOL_SSH"] = shlex.quote(str(program))
        self.program = Path(program)

    @property
    def asked(self) -> list[str]:
        """The arguments of each run of ssh."""
        return self.log.read_text().splitlines() if self.log.exists() else []
