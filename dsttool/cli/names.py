"""The names that complete a word, for shells: fast, and silent whatever is wrong.

`dsttool __names LIST [NAME]` prints a name and, after a tab, what it is, one a line. It runs at every press
of TAB: so it is not part of the tree, imports next to nothing (what the paths are is said here a second
time), and gives daemons a fraction of a second to say what they serve. The console makes its lists from
`Known`, too.
"""

import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

ANSWER_SECONDS = 0.35
# Longer than any answer is waited for; a file system that does not answer ends here.
TOTAL_SECONDS = 0.5
_ANSWER_BYTES_MAX = 8 << 20
_SCHEMAS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "schemas")

# A name, and what it is.
Names = list[tuple[str, str]]


class Known:
    """What is known of this machine: what its daemons say of themselves, and what is configured."""

    def __init__(self) -> None:
        self.arrays: list[dict[str, object]] = []
        self.exports: list[dict[str, object]] = []
        self.daemons: dict[str, str] = {}
        self.transactions: list[dict[str, object]] = []
        self.configured_arrays: list[str] = []
        self.configured_exports: list[str] = []
        self.logs: list[str] = []
        self.keys: Names = []

    def names(self, wanted: str, of: str = "") -> Names:
        """The names of a list; nothing for one that does not exist. `of`: whose."""
        make = _LISTS.get(wanted)
        return make(self, of.partition("/")[0]) if make else []

    def running_arrays(self) -> Names:
        """Arrays that are up, with layout and state."""
        return sorted(
            (str(each["name"]), f"{each['layout']}, {_said(each['state'])}") for each in self.arrays
        )

    def running_exports(self) -> Names:
        """Exports that run, with device and state."""
        return sorted(
            (str(each["name"]), f"{each['device']}, {_said(each['state'])}") for each in self.exports
        )

    def down_arrays(self) -> Names:
        """Configured arrays that are not up."""
        up = {name for name, _ in self.running_arrays()}
        return [(name, "configured array") for name in self.configured_arrays if name not in up]

    def down_exports(self) -> Names:
        """Configured exports that do not run."""
        up = {name for name, _ in self.running_exports()}
        return [(name, "configured export") for name in self.configured_exports if name not in up]

    def members(self, array: str) -> Names:
        """The members of an array that is up, with their states."""
        for each in self.arrays:
            if each["name"] == array:
                members = each["members"]
                assert isinstance(members, list)
                return [(str(member["name"]), _said(member["state"])) for member in members]
        return []

    def under_way(self, of: str) -> Names:
        """Transactions that have a number, of an array; or of what is no array, whose nodes are devices."""
        found = []
        for each in self.transactions:
            array, slash, _ = str(each["node"]).partition("/")
            if each["id"] and (array == of or not slash):
                found.append((str(each["id"]), f"{each['op']} {_said(each['state'])} {each['node']}"))
        return found


def _with_members(known: Known, names: Names) -> Names:
    found = []
    for name, about in names:
        found.append((name, about))
        found += [(f"{name}/{member}", state) for member, state in known.members(name)]
    return found


def _served(known: Known) -> Names:
    running = known.running_arrays() + known.running_exports()
    return running or known.down_arrays() + known.down_exports()


def _logs(known: Known) -> Names:
    return sorted(dict.fromkeys((*known.daemons, *known.logs), "daemon's log").items())


def _pages(of: str) -> Names:
    from dsttool.cli import pages

    return pages.words(of)


_LISTS: dict[str, Callable[[Known, str], Names]] = {
    "arrays": lambda known, of: known.running_arrays() or known.down_arrays(),
    "all-arrays": lambda known, of: known.running_arrays() + known.down_arrays(),
    "startable-arrays": lambda known, of: known.down_arrays(),
    "exports": lambda known, of: known.running_exports() + known.down_exports(),
    "startable-exports": lambda known, of: known.down_exports(),
    "served": lambda known, of: _served(known),
    "configured": lambda known, of: [
        *((name, "array") for name in known.configured_arrays),
        *((name, "export") for name in known.configured_exports),
    ],
    "daemons": lambda known, of: sorted(known.daemons.items()),
    "logs": lambda known, of: _logs(known),
    "nodes": lambda known, of: known.members(of),
    "array-nodes": lambda known, of: _with_members(known, known.running_arrays() or known.down_arrays()),
    "served-nodes": lambda known, of: _with_members(known, _served(known)),
    "transactions": lambda known, of: known.under_way(of),
    "keys": lambda known, of: known.keys,
    "pages": lambda known, of: _pages(of),
    "schemas": lambda known, of: [(name, "") for name in _stems(_SCHEMAS, "-1.json")],
}


def main(words: list[str]) -> int:
    """Print a list. The exit code is always 0, nothing goes to stderr, and after TOTAL_SECONDS it ends."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, TOTAL_SECONDS)
    try:
        wanted, of = [*words, "", ""][:2]
        known = read_configured()
        if wanted == "keys":
            known.keys = read_keys()
        elif wanted not in ("configured", "pages", "schemas"):
            ask(known, runtime_dir(), of if wanted == "transactions" else "")
        lines = [
            f"{name}\t{about}\n" for name, about in known.names(wanted, of) if _plain(name) and _plain(about)
        ]
        os.write(1, "".join(lines).encode())
    except Exception:  # noqa: BLE001, S110 - whoever presses TAB gets names, or nothing
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)  # while Python ends nothing handles it
    return 0


def read_configured() -> Known:
    """What the configuration folder and logs say."""
    known = Known()
    config = config_dir()
    known.configured_arrays = _stems(os.path.join(config, "arrays"), ".toml")
    known.configured_exports = _stems(os.path.join(config, "exports"), ".toml")
    known.logs = _stems(runtime_dir(), ".log")
    return known


def read_keys() -> Names:
    """The names of authorised keys, or the keys of those that have none."""
    import tomllib

    try:
        with open(os.path.join(config_dir(), "keys", "authorized.toml"), "rb") as file:
            keys = tomllib.load(file).get("keys", [])
    except (OSError, ValueError):
        return []
    return [(key.get("name") or key["key"], "authorised key") for key in keys]


def ask(known: Known, runtime: str, tx_of: str = "") -> None:
    """Ask all daemons at once what they serve, for ANSWER_SECONDS at most. tx_of: whose transactions, too."""
    question = _question("status")
    if tx_of:
        question += _question("tx.list", name=tx_of.partition("/")[0])
    waiting = selectors.DefaultSelector()
    for name in _stems(runtime, ".sock"):
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(os.path.join(runtime, f"{name}.sock"))
            connection.sendall(question)
        except OSError:  # it has ended, or it is stuck: then it can be named, at least
            connection.close()
            continue
        known.daemons[name] = "daemon"
        waiting.register(connection, selectors.EVENT_READ, bytearray())
    deadline = time.monotonic() + ANSWER_SECONDS
    while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            connection = key.fileobj  # type: ignore[assignment]
            if not _more(connection, key.data, question.count(b"\n")):
                _learn(known, key.data)
                waiting.unregister(connection)
                connection.close()
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    waiting.close()


def runtime_dir() -> str:
    """As config.paths.runtime_dir, which checks the folder, too: nothing but names is read from it here."""
    if chosen := os.environ.get("DSTTOOL_RUNTIME_DIR"):
        return chosen
    if os.geteuid() == 0:
        return "/run/dsttool"
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base):
        return os.path.join(base, "dsttool")
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"dsttool-{os.geteuid()}")


def config_dir() -> str:
    """As config.paths.config_dir."""
    if chosen := os.environ.get("DSTTOOL_CONFIG_DIR"):
        return chosen
    if os.geteuid() == 0:
        return "/etc/dsttool"
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.config"), "dsttool")


def _question(command: str, **arguments: str) -> bytes:
    asked = {"schema": "dsttool.control/1", "command": command, "arguments": arguments}
    return json.dumps(asked).encode() + b"\n"


def _more(connection: socket.socket, received: bytearray, answers: int) -> bool:
    """Take what a daemon sent; whether more is to come."""
    part = connection.recv(1 << 18)
    received += part
    return bool(part) and received.count(b"\n") < answers and len(received) <= _ANSWER_BYTES_MAX


def _learn(known: Known, received: bytearray) -> None:
    for line in received.split(b"\n")[:-1]:
        result = json.loads(line).get("result", {})
        known.arrays += result.get("arrays", [])
        known.exports += result.get("exports", [])
        known.transactions += result.get("transactions", [])
        for daemon in result.get("daemons", []):
            known.daemons[daemon["name"]] = f"{daemon['kind']}, serves {', '.join(daemon['serves'])}"


def _stems(folder: str, suffix: str) -> list[str]:
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    return sorted(each[: -len(suffix)] for each in entries if each.endswith(suffix) and each[0] != ".")


def _said(state: object) -> str:
    return str(state).replace("_", " ")


def _plain(text: str) -> bool:
    """Whether it is one line without anything that a terminal or a shell would take for an order."""
    return text.isprintable()
