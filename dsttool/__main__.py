"""The `dsttool` command: runs the tree and turns every end into an exit code and two sentences."""

import os
import sys


def main() -> None:
    """Run the command line of this process; does not return."""
    if sys.argv[1:2] == ["__names"]:  # for completions, at every press of TAB: before anything is imported
        from dsttool.cli import names

        sys.exit(names.main(sys.argv[2:]))
    from dsttool.cli.failure import run

    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`dsttool status | head -1`): what SIGPIPE would have said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    sys.exit(code)


if __name__ == "__main__":
    main()
