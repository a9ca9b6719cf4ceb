"""The `dsttool` command: runs the tree and turns every end into an exit code and two sentences."""

import sys


def main() -> None:
    """Run the command line of this process; does not return."""
    if sys.argv[1:2] == ["__names"]:  # for completions, at every press of TAB: before anything is imported
        from dsttool.cli import names

        sys.exit(names.main(sys.argv[2:]))
    from dsttool.cli import streams

    streams.fill_closed()
    from dsttool.cli.failure import run

    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        # The reader has gone (`dsttool status | head -1`): what SIGPIPE would have said.
        streams.drop(1)
        code = 141
    sys.exit(streams.finish(code))


if __name__ == "__main__":
    main()
