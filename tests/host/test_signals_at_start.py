"""Signals to a daemon that does not serve yet."""

import os
import signal
import socket

from support.site import Site


def test_a_daemon_that_starts_is_not_ended_by_who_asks_for_its_state_or_to_read_again(site: Site) -> None:
    place = site.path("silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen()
        silent.settimeout(60)
        node = f"dst+unix:///a?socket={place}"
        site.env["NOTIFY_SOCKET"] = str(site.path("manager"))
        with site.begun("array", "up", "pool", "--layout", "linear", "--raw", node, "--foreground") as daemon:
            connection, _ = silent.accept()
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
                os.kill(daemon.pid, number)
            ended = daemon.wait(60)
            connection.close()
        assert ended in (-signal.SIGTERM, 128 + signal.SIGTERM), "the last one ended it"
