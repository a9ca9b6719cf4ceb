"""TCP ports for processes that need one."""

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses, and that the kernel gives nobody else for a minute.

    A connection that has just been closed on the side of the port keeps it (TIME_WAIT) from those who ask
    for any port, as tests beside this one do, and not from who names it and sets SO_REUSEADDR.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            server.accept()[0].close()
    return int(address[1])
