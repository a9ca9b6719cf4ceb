"""Where configuration, sockets and state live.

              root                 anybody else                              instead
    config    /etc/dsttool         ~/.config/dsttool                         $DSTTOOL_CONFIG_DIR
    runtime   /run/dsttool         $XDG_RUNTIME_DIR/dsttool                  $DSTTOOL_RUNTIME_DIR
    state     /var/lib/dsttool     $XDG_STATE_HOME/dsttool                   $DSTTOOL_STATE_DIR
                                   (or ~/.local/state/dsttool)

Without XDG_RUNTIME_DIR the runtime folder is dsttool-UID under the temporary directory. Everybody may
write there, so it is used only if it is a folder (not a link) of ours with mode 0700.

Functions that name a path create nothing; `make_folder` does.
"""

import os
import stat
from pathlib import Path
from typing import Final

from dsttool.engine.config.names import check_name
from dsttool.engine.vocabulary.errors import Forbidden, UsageError, from_oserror

# sockaddr_un.sun_path is 108 bytes with its terminating zero (unix(7)).
SOCKET_PATH_MAX: Final = 107


def config_dir() -> Path:
    """The folder of dsttool.toml, arrays/, exports/ and keys/."""
    if (chosen := _chosen("DSTTOOL_CONFIG_DIR")) is not None:
        return chosen
    if os.geteuid() == 0:
        return Path("/etc/dsttool")
    return _xdg("XDG_CONFIG_HOME", ".config") / "dsttool"


def runtime_dir() -> Path:
    """The folder of sockets, locks and logs. Forbidden if the fallback for it belongs to somebody else."""
    if (chosen := _chosen("DSTTOOL_RUNTIME_DIR")) is not None:
        return chosen
    if os.geteuid() == 0:
        return Path("/run/dsttool")
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base):
        return Path(base) / "dsttool"
    fallback = Path(os.environ.get("TMPDIR") or "/tmp") / f"dsttool-{os.geteuid()}"
    if os.path.lexists(fallback):
        _check_private(fallback, forbidden_bits=0o077, follow=False)
    return fallback


def state_dir() -> Path:
    """The folder of what must survive a restart of the machine."""
    if (chosen := _chosen("DSTTOOL_STATE_DIR")) is not None:
        return chosen
    if os.geteuid() == 0:
        return Path("/var/lib/dsttool")
    return _xdg("XDG_STATE_HOME", ".local/state") / "dsttool"


def pin() -> None:
    """Let relative folders in the environment stay where they are when this process changes its own."""
    for variable in ("DSTTOOL_CONFIG_DIR", "DSTTOOL_RUNTIME_DIR", "DSTTOOL_STATE_DIR", "TMPDIR"):
        value = os.environ.get(variable)
        if value:
            os.environ[variable] = os.path.abspath(value)


def control_socket(name: str) -> Path:
    """Where the daemon of this array or export takes commands."""
    return _socket(name, "sock")


def nbd_socket(name: str) -> Path:
    """Where the daemon always serves NBD."""
    return _socket(name, "nbd")


def dst_socket(name: str) -> Path:
    """Where the daemon always serves DST."""
    return _socket(name, "dst")


def lock_file(name: str) -> Path:
    """Held locked by the daemon while it lives; contains its process id."""
    return runtime_dir() / f"{check_name(name)}.lock"


def log_file(name: str) -> Path:
    """What a detached daemon wrote."""
    return runtime_dir() / f"{check_name(name)}.log"


def array_file(name: str) -> Path:
    """The configuration of an array."""
    return config_dir() / "arrays" / f"{check_name(name)}.toml"


def export_file(name: str) -> Path:
    """The configuration of an export."""
    return config_dir() / "exports" / f"{check_name(name)}.toml"


def machine_file() -> Path:
    """What is configured for all arrays and daemons of this machine."""
    return config_dir() / "dsttool.toml"


def state_file(name: str) -> Path:
    """The member states of a raw array."""
    return state_dir() / "arrays" / f"{check_name(name)}.json"


def export_state_file(name: str) -> Path:
    """Who may write to an export, under which term."""
    return state_dir() / "exports" / f"{check_name(name)}.json"


def device_state_file(identity: bytes) -> Path:
    """How often a flush has failed on a file or block device."""
    return state_dir() / "devices" / f"{identity.hex()}.json"


def array_names() -> list[str]:
    """Names of configured arrays, sorted."""
    return _stems(config_dir() / "arrays", ".toml")


def export_names() -> list[str]:
    """Names of configured exports, sorted."""
    return _stems(config_dir() / "exports", ".toml")


def make_folder(folder: Path) -> Path:
    """Create a folder of ours with mode 0700, durably; return it.

    One that exists must be ours and not writable by others, else Forbidden: whoever can write to it can
    put a socket or a configuration of theirs in our place.
    """
    missing = []
    try:
        for parent in (folder, *folder.parents):
            if parent.exists():
                break
            missing.append(parent)
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent)
    except OSError as error:
        raise from_oserror(error, f"create {folder}") from error
    # Where others may write, too, a link may be theirs; elsewhere it is the owner's choice.
    _check_private(folder, forbidden_bits=0o022, follow=not os.stat(folder.parent).st_mode & 0o022)
    return folder


def sync_folder(folder: Path) -> None:
    """Make names created, replaced or removed in a folder durable. OSError if that fails."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_socket_path(path: str) -> str:
    """Return `path` if a Unix socket can be there. UsageError otherwise."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_MAX:
        raise UsageError(
            f"The socket path '{path}' has {length} bytes, and a Unix socket's may have {SOCKET_PATH_MAX}.",
            "Use a shorter folder (for the runtime folder: set DSTTOOL_RUNTIME_DIR).",
        )
    return path


def _socket(name: str, suffix: str) -> Path:
    path = runtime_dir() / f"{check_name(name)}.{suffix}"
    check_socket_path(str(path))
    return path


def _chosen(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).absolute() if value else None


def _xdg(variable: str, below_home: str) -> Path:
    # The XDG specification has relative paths ignored.
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else Path.home() / below_home


def _stems(folder: Path, suffix: str) -> list[str]:
    try:
        entries = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_oserror(error, f"read {folder}") from error
    return sorted(
        entry.removesuffix(suffix)
        for entry in entries
        if entry.endswith(suffix) and not entry.startswith(".")
    )


def _check_private(folder: Path, *, forbidden_bits: int, follow: bool) -> None:
    try:
        status = os.stat(folder, follow_symlinks=follow)
    except OSError as error:
        raise from_oserror(error, f"use {folder}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise Forbidden(f"{folder} is not a folder.", "Remove it.")
    if status.st_uid != os.geteuid():
        raise Forbidden(
            f"The folder {folder} belongs to another user (uid {status.st_uid}).",
            "Set DSTTOOL_RUNTIME_DIR, DSTTOOL_STATE_DIR or DSTTOOL_CONFIG_DIR to a folder of your own.",
        )
    if status.st_mode & forbidden_bits:
        raise Forbidden(
            f"Other users have access to the folder {folder} (mode {stat.S_IMODE(status.st_mode):04o}).",
            f"Run chmod 700 {folder}, after a look at what is in it.",
        )
