"""Where metrics are answered: what `--metrics` may say.

    9100, :9100                 this machine only
    HOST:9100, [::1]:9100       there; other machines may then read how a daemon is doing
    /run/dsttool/a.metrics      a Unix socket

Metrics say how a daemon is doing, and the names and addresses of what it serves; nothing of the data.
"""

from pathlib import Path
from typing import Final

from dsttool.engine.config.paths import check_socket_path
from dsttool.engine.config.uri import parse_host
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import UsageError

_HERE: Final = "127.0.0.1"


def parse_metrics_place(text: str) -> Endpoint:
    """Read the place. UsageError otherwise."""
    if "/" in text:
        return Endpoint("unix", path=check_socket_path(str(Path(text).absolute())))
    if text.isascii() and text.isdigit():
        text = f":{text}"
    host, port = parse_host(f"{_HERE}{text}" if text.startswith(":") else text) if text else ("", None)
    if port is None:
        raise UsageError(f"'{text}' names no port to answer at.", "Write for example 127.0.0.1:9100.")
    return Endpoint("tcp", host, port)
