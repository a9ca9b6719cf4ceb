"""The programs of others that the tests run against, and how to find what is missing."""

import os
import shutil
import subprocess

# The module nbd (python3-libnbd) is Debian's, so it lives in the system's Python only.
SYSTEM_PYTHON = "/usr/bin/python3"

PROGRAMS = {
    "nbdkit": "nbdkit",
    "nbd-client": "nbd-client",
    "nbdinfo": "libnbd-bin",
    "nbdcopy": "libnbd-bin",
    "file": "file",  # nbdinfo asks it about the content, and prints bytes at random without it
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "fio": "fio",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "man": "man-db",
    "tmux": "tmux",
    "zsh": "zsh",
    "fish": "fish",
    "systemd-analyze": "systemd",
    "ssh": "openssh-client",
}


def extend_path() -> None:
    """Make nbd-client, losetup and mkfs.ext4 found by users other than root."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def missing() -> list[str]:
    """Debian packages whose programs are not here."""
    absent = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    probe = [SYSTEM_PYTHON, "-c", "import nbd"]
    if (
        not os.path.exists(SYSTEM_PYTHON)
        or subprocess.run(probe, capture_output=True, check=False).returncode
    ):
        absent.add("python3-libnbd")
    return sorted(absent)


def why_no_loop_devices() -> str:
    """Empty if this process can make loop devices, else the reason."""
    if os.geteuid() != 0:
        return "not root"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else found.stderr.strip() or "losetup finds no device"
