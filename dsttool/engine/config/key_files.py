"""Where key files are, how they are made, and who may have access to them.

    config folder   keys/client.key        this machine's identity as a client
                    keys/authorized.toml   public keys of clients (see authorized)
    state folder    server.key             this machine's identity as a server

A key file is made with mode 0600, whole or not at all, and never replaced. Before it is used, the opened
file must be a regular one of ours, or root's, without access for anybody else: what the name stood for
a moment ago says nothing.
"""

import os
import stat
from pathlib import Path
from typing import Final

from dsttool.engine.config import durable, paths
from dsttool.engine.config.keys import (
    FILE_BYTES_MAX,
    Key,
    PrivateKey,
    SharedKey,
    format_key,
    generate_private,
    parse_key,
)
from dsttool.engine.vocabulary.errors import Conflict, Forbidden, NotFound, UsageError, from_oserror

ACCESSIBLE_TO_OTHERS: Final = 0o077
WRITABLE_BY_OTHERS: Final = 0o022


def client_key_file() -> Path:
    """This machine's identity as a client."""
    return paths.config_dir() / "keys" / "client.key"


def server_key_file() -> Path:
    """This machine's identity as a server."""
    return paths.state_dir() / "server.key"


def create_key(path: Path, key: Key) -> None:
    """Write a new key file durably. Conflict if there is one already."""
    own = path in (client_key_file(), server_key_file())
    try:
        if own:
            paths.make_folder(path.parent)
        durable.create(path, format_key(key).encode())
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error


def refuse_existing(path: Path) -> None:
    """Conflict if there is something where a new key file is to be."""
    if path.exists():
        raise _exists(path)


def load_key(path: Path) -> Key:
    """Read a key file. Raises NotFound, Forbidden if others have access to it, UsageError if it is none."""
    try:
        content = read_private(path)
    except FileNotFoundError:
        raise NotFound(
            f"There is no key file {path}.", f"Make one with: dsttool key generate {path}"
        ) from None
    return parse_key(content, str(path))


def load_shared(path: Path) -> SharedKey:
    """Read the file of a shared key; UsageError if it has a private key."""
    key = load_key(path)
    if not isinstance(key, SharedKey):
        raise UsageError(
            f"{path} has a private key, and a shared one is needed here.",
            "Make one with `dsttool key generate --shared FILE`, and copy it to the other machine.",
        )
    return key


def load_private(path: Path) -> PrivateKey:
    """Read the file of a private key; UsageError if it has a shared key."""
    key = load_key(path)
    if not isinstance(key, PrivateKey):
        raise UsageError(
            f"{path} has a shared key, and a private one is needed here.",
            "Make one with: dsttool key generate FILE",
        )
    return key


def client_identity() -> PrivateKey:
    """This machine's identity as a client; made if it has none yet."""
    return _identity(client_key_file())


def server_identity() -> PrivateKey:
    """This machine's identity as a server; made if it has none yet."""
    return _identity(server_key_file())


def read_private(path: Path) -> bytes:
    """A key file's content. FileNotFoundError; Forbidden if others have access to it."""
    return read_owned(path, ACCESSIBLE_TO_OTHERS, FILE_BYTES_MAX)


def read_owned(path: Path, forbidden_bits: int, maximum: int) -> bytes:
    """The content of a regular file of ours, or of root's, whose mode has none of these bits.

    FileNotFoundError; Forbidden if it is not such a file, UsageError if it has more bytes than `maximum`.
    """
    try:
        # A pipe in its place must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    try:
        _check_owned(os.fstat(descriptor), path, forbidden_bits)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(maximum + 1)
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    finally:
        os.close(descriptor)
    if len(content) > maximum:
        raise UsageError(f"{path} is longer than {maximum} bytes: it is something else.", "Check the path.")
    return content


def _exists(path: Path) -> Conflict:
    return Conflict(
        f"{path} exists already, and a key that is lost cannot be had again.",
        "Choose another file, or move that one away.",
    )


def _identity(path: Path) -> PrivateKey:
    try:
        return load_private(path)
    except NotFound:
        pass
    try:
        create_key(path, generate_private())
    except Conflict:
        pass  # Another process was first, and there is but one identity.
    return load_private(path)


def _check_owned(status: os.stat_result, path: Path, forbidden_bits: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Forbidden(f"{path} is not a regular file.", "Give a key file.")
    if status.st_uid not in (os.geteuid(), 0):
        raise Forbidden(
            f"{path} belongs to another user (uid {status.st_uid}), who could read and change it.",
            "Use a file of your own.",
        )
    if status.st_mode & forbidden_bits:
        mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
        if forbidden_bits == WRITABLE_BY_OTHERS:
            raise Forbidden(
                f"Other users may change {path} ({mode}).",
                f"Run chmod 600 {path}, after a look at what is in it.",
            )
        raise Forbidden(
            f"Other users have access to {path} ({mode}).",
            f"Run chmod 600 {path}; if others may have read it, make a new one.",
        )
