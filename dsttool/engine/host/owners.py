"""As whom this machine comes to exports: the same owner is admitted again at once, others wait.

See protocol.md, owners and terms. Servers that know a client by its key or its uid need no name of the
machine; over plain TCP it is all they have.
"""

import hashlib
import os

from dsttool.engine.config import paths


def machine() -> str:
    """A name of this machine that stays, and tells nobody its machine id."""
    return _digest(_machine_id()).hex()


def array_id(name: str) -> bytes:
    """16 bytes for the array of that name here: the same whenever it comes up again, no other's."""
    return _digest(_machine_id(), str(os.getuid()), str(paths.state_dir().absolute()), name)


def _machine_id() -> str:
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        try:
            with open(path) as file:
                words = file.read().strip()
        except OSError:
            continue
        if words:
            return words
    return ""


def _digest(*words: str) -> bytes:
    return hashlib.blake2b("\0".join(words).encode(errors="surrogateescape"), digest_size=16).digest()
