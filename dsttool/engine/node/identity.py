"""What tells one file or block device from another, over restarts of the server and of the machine.

A client that comes back refuses to go on with another one. The name alone is not enough for a block
device: after a boot /dev/sdb may be what /dev/sdc was.
"""

import hashlib
import os
import stat
from typing import Final

# In sysfs, below the disk; what is unique in the world first (Documentation/ABI, sysfs-block and -dm).
_UNIQUE: Final = ("dm/uuid", "md/uuid", "wwid", "device/wwid")
_PARTITION: Final = ("partition", "start")
# Unique among the disks of a machine, if somebody took care: said beside the name.
_USUAL: Final = ("loop/backing_file", "loop/offset", "serial", "device/serial")


def identity_of(path: str, found: os.stat_result) -> bytes:
    """16 bytes for the opened file or block device of that name."""
    words = [_read("/etc/machine-id")]
    if stat.S_ISBLK(found.st_mode):
        words += disk_words(f"/sys/dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}", path)
    else:
        words += [os.path.realpath(path), f"inode {found.st_ino}"]
    return hashlib.blake2b("\0".join(words).encode(errors="surrogateescape"), digest_size=16).digest()


def verifier_of(identity: bytes, failed_flushes: int) -> bytes:
    """16 bytes that change when acked writes may have been lost: with the boot, or with a failed flush.

    failed_flushes: how many there have been since this file or block device was first opened.
    """
    words = [_read("/proc/sys/kernel/random/boot_id"), identity.hex(), str(failed_flushes)]
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()


def disk_words(folder: str, path: str) -> list[str]:
    """What is known of the disk, or the partition of one, that sysfs describes in `folder`."""
    part = [_read(f"{folder}/{name}") for name in _PARTITION]
    disk = f"{folder}/.." if part[0] else folder
    unique = next(filter(None, (_read(f"{disk}/{name}") for name in _UNIQUE)), "")
    if unique:
        return [unique, *part]
    return [os.path.realpath(path), *(_read(f"{disk}/{name}") for name in _USUAL), *part]


def _read(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return ""
