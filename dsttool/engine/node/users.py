"""Who uses a block device or holds a lock on a file: for the sentence that refuses it."""

import os
import stat


def user_of(path: str) -> str:
    """The user of a device or of a file's lock, as "mounted on /srv" or "process 12 (qemu)"; or ""."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if stat.S_ISBLK(found.st_mode):
        user = _mounted(found.st_rdev) or _swap(path) or _holders(found.st_rdev)
        if user:
            return user
    return _locker(found) or (_opener(found.st_rdev) if stat.S_ISBLK(found.st_mode) else "")


def _mounted(device: int) -> str:
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _lines("/proc/self/mountinfo"):
        fields = line.split()
        if len(fields) > 4 and fields[2] == number:
            return "mounted on " + fields[4].encode().decode("unicode_escape")
    return ""


def _swap(path: str) -> str:
    real = os.path.realpath(path)
    return next(("used as swap" for line in _lines("/proc/swaps")[1:] if line.split()[0] == real), "")


def _holders(device: int) -> str:
    folder = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/holders"
    try:
        names = os.listdir(folder)
    except OSError:
        return ""
    return "held by " + ", ".join(f"/dev/{name}" for name in names) if names else ""


def _locker(found: os.stat_result) -> str:
    """From /proc/locks: `1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF`."""
    for line in _lines("/proc/locks"):
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rsplit(":", 1)[-1] == str(found.st_ino):
            major, minor, _ = fields[5].split(":")
            if (int(major, 16), int(minor, 16)) == (os.major(found.st_dev), os.minor(found.st_dev)):
                return _process(fields[4])
    return ""


def _opener(device: int) -> str:
    """A process that has the device open; /proc does not show which of them did so with O_EXCL."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                opened = descriptor.stat()
                if stat.S_ISBLK(opened.st_mode) and opened.st_rdev == device:
                    return _process(pid)
        except OSError:
            pass  # it ended, or it belongs to somebody else
    return ""


def _process(pid: str) -> str:
    name = "".join(_lines(f"/proc/{pid}/comm")).strip()
    return f"process {pid}" + (f", {name}" if name else "")


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []
