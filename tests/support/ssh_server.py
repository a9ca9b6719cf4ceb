"""An SSH server as a program of its own: a shell runs what it is asked for, as sshd does.

It serves 127.0.0.1 with the host_key and the authorized_keys of a folder, tells its port on its standard
output and each connection on a line of connections.log, and ends with its input. A line there cuts all
connections, without a goodbye.
"""

import asyncio
import sys
from pathlib import Path

import asyncssh


class _Server(asyncssh.SSHServer):
    """Knows its connections, to cut them."""

    def __init__(self, log: Path, made: set[asyncssh.SSHServerConnection]) -> None:
        self._log = log
        self._made = made

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._made.add(conn)
        self._connection = conn
        with self._log.open("a") as log:
            print("a connection", file=log)

    def connection_lost(self, exc: Exception | None) -> None:
        self._made.discard(self._connection)


class _Commands:
    """What runs for the clients. A command whose connection is lost has its input ended, and nothing else."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """Run what is asked for, in a task that does not end with the connection."""
        task = asyncio.create_task(_run(process))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def wait(self) -> None:
        """Wait until all have ended."""
        await asyncio.gather(*self._running)


async def _run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    pipe = asyncio.subprocess.PIPE
    words = ("/bin/sh", "-c", process.command or "")
    shell = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
    assert shell.stdin is not None
    assert shell.stdout is not None
    assert shell.stderr is not None
    feeding = asyncio.create_task(_feed(process.stdin, shell.stdin))
    await asyncio.gather(_tell(shell.stdout, process.stdout), _tell(shell.stderr, process.stderr))
    code = await shell.wait()
    feeding.cancel()
    process.exit(code)


async def _feed(source: "asyncssh.SSHReader[bytes]", sink: asyncio.StreamWriter) -> None:
    try:
        while part := await source.read(1 << 16):
            sink.write(part)
            await sink.drain()
    except (OSError, asyncssh.Error):
        pass  # The command has ended, or the connection was lost.
    sink.close()


async def _tell(source: asyncio.StreamReader, sink: "asyncssh.SSHWriter[bytes]") -> None:
    while part := await source.read(1 << 16):
        try:
            sink.write(part)
            await sink.drain()
        except (OSError, asyncssh.Error):
            pass  # Nobody is there any more to hear it.


async def _serve(folder: Path) -> None:
    made: set[asyncssh.SSHServerConnection] = set()
    commands = _Commands()
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Server(folder / "connections.log", made),
        server_host_keys=[folder / "host_key"],
        authorized_client_keys=str(folder / "authorized_keys"),
        process_factory=commands.begin,
        encoding=None,
    )
    print(server.get_port(), flush=True)
    told = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    while await told.readline():
        for connection in list(made):
            connection.abort()
    server.close()
    for connection in list(made):
        connection.abort()
    await commands.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
