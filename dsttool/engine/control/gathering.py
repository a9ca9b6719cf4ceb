"""Questions to all daemons of a place at once, and finding the one that serves a name.

Like control.client it imports nothing of the engine, and every wait has a deadline: a daemon that is dead,
stopped or stuck is reported, never waited for.
"""

import os
import selectors
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dsttool.engine.control import messages
from dsttool.engine.control.client import ANSWER_TIMEOUT
from dsttool.engine.vocabulary import errors, status

if TYPE_CHECKING:
    from dsttool.engine.control.place import Place


def gather(place: "Place", timeout: float = ANSWER_TIMEOUT, name: str | None = None) -> status.Status:
    """The status of all daemons of a place, asked at the same time. Raises DsttoolError if the place itself
    cannot be reached.

    A daemon that does not answer within `timeout` seconds is listed among the daemons as unreachable, with
    the reason. name: what all this is about; once whoever serves it has answered, nobody else is waited for,
    and those who have not answered are left out.
    """
    total = status.empty()
    asked: dict[socket.socket, tuple[str, bytearray]] = {}
    with selectors.DefaultSelector() as selector:
        for daemon in place.daemons():
            try:
                connection = _ask_status(place, daemon, timeout)
            except errors.NotFound:
                continue  # It has just ended.
            except (OSError, errors.DsttoolError) as error:
                total["daemons"].append(lost(daemon, place.where(daemon), _reason(error)))
                continue
            connection.setblocking(False)
            asked[connection] = (daemon, bytearray())
            selector.register(connection, selectors.EVENT_READ)
        deadline = time.monotonic() + timeout
        found = False
        while asked and not found and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                connection = cast(socket.socket, key.fileobj)
                answer = _receive(place, connection, *asked[connection])
                if answer is not None:
                    _merge(total, answer)
                    selector.unregister(connection)
                    connection.close()
                    del asked[connection]
                    found = found or any(name in each["serves"] for each in answer["daemons"])
        for connection, (daemon, _) in asked.items():
            if not found:
                total["daemons"].append(lost(daemon, place.where(daemon), f"no answer within {timeout:g} s"))
            connection.close()
    for entries in (total["arrays"], total["exports"], total["daemons"]):
        cast(list[Mapping[str, Any]], entries).sort(key=_by_name)
    return total


def find(place: "Place", name: str, timeout: float = ANSWER_TIMEOUT) -> str:
    """The daemon that is, or serves, `name`. Raises NotFound, and what `gather` raises."""
    if name in place.daemons():
        return name
    for daemon in gather(place, timeout, name)["daemons"]:
        if name in daemon["serves"]:
            return daemon["name"]
    raise errors.NotFound(f"Nothing called {name} is running.", "`dsttool status` lists what runs.")


def _ask_status(place: "Place", daemon: str, timeout: float) -> socket.socket:
    connection = place.open(daemon, timeout)
    try:
        connection.sendall(messages.pack_command("status", {}))
    except OSError:
        connection.close()
        raise
    return connection


def _receive(
    place: "Place", connection: socket.socket, daemon: str, received: bytearray
) -> status.Status | None:
    """What a daemon contributes, once its line is whole; its absence, once it hung up."""
    try:
        part = connection.recv(1 << 16)
        if not part:
            raise errors.ProtocolError("it hung up before it answered")
        received += part
        if len(received) > messages.ANSWER_BYTES_MAX:
            raise errors.ProtocolError("its answer is too long")
        if not received.endswith(b"\n"):
            return None
        answer: status.Status = messages.parse_answer(bytes(received))
        for each in answer["daemons"]:
            each["socket"] = place.where(daemon)
    except BlockingIOError:
        return None
    except errors.NotFound:
        return status.empty()  # It ended between the question who is there and the question to it.
    except (OSError, errors.DsttoolError, KeyError, TypeError) as error:
        answer = status.empty()
        answer["daemons"].append(lost(daemon, place.where(daemon), _reason(error)))
    return answer


def _merge(total: status.Status, part: status.Status) -> None:
    total["arrays"] += part["arrays"]
    total["exports"] += part["exports"]
    total["daemons"] += part["daemons"]


def _by_name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"])


def _reason(error: Exception) -> str:
    if isinstance(error, errors.Unreachable) and isinstance(error.__context__, OSError):
        error = error.__context__
    if isinstance(error, errors.DsttoolError):
        return error.what
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)


def lost(daemon: str, where: str, reason: str) -> status.DaemonStatus:
    """The status of a daemon that does not answer. where: its control socket."""
    return {
        "name": daemon,
        "kind": None,
        "instance": None,
        "state": "unreachable",
        "reason": reason,
        "pid": None,
        "version": None,
        "since_ns": None,
        "socket": where,
        "serves": [],
        "refusals": {},
    }
