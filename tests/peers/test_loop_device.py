"""A block device works like a file: what a loop device over a sparse file sees of our requests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fio import allocated, verify
from support.site import Site

SIZE = 64 << 20
MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("loop_devices")


@pytest.fixture
def loop(loop_devices: None, site: Site) -> Iterator[Path]:
    """A loop device over disk.img of the site."""
    found = site.run("losetup", "--find", "--show", site.file("disk.img", SIZE)).stdout.strip()
    yield Path(found)
    for daemon in site.daemons:
        daemon.process.kill()
        daemon.process.wait()
    subprocess.run(["losetup", "--detach", found], check=True)


def flushes(loop: Path) -> int:
    """Flushes the kernel has completed on this device (Documentation/block/stat.rst, field 16)."""
    return int(Path(f"/sys/block/{loop.name}/stat").read_text().split()[15])


def qemu_io(site: Site, *steps: str) -> None:
    done = site.run("qemu-io", "-f", "raw", *(w for s in steps for w in ("-c", s)), site.nbd("disk"))
    assert "failed" not in done.stdout + done.stderr


def nbd_script(site: Site, *steps: str) -> None:
    code = (
        "import nbd, sys\nh = nbd.NBD()\nh.connect_unix(sys.argv[1])\n" + "\n".join(steps) + "\nh.shutdown()"
    )
    site.run("/usr/bin/python3", "-c", code, site.path("disk.nbd"))


def test_fio_verifies_a_block_device(site: Site, loop: Path) -> None:
    site.export(loop, "disk")

    verify(site, site.nbd("disk"), 40 * MIB)


def test_the_size_of_a_block_device_is_found(site: Site, loop: Path) -> None:
    site.export(loop, "disk")

    assert site.run("nbdinfo", "--size", site.nbd("disk")).stdout.strip() == str(SIZE)


def test_a_flush_reaches_the_device(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    nbd_script(site, "h.pwrite(b'x' * 4096, 0)")
    before = flushes(loop)

    nbd_script(site, "h.flush()")

    assert flushes(loop) > before


def test_a_write_with_fua_reaches_the_device_without_a_flush_request(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    nbd_script(site, "h.pwrite(b'x' * 4096, 0)")
    before = flushes(loop)

    nbd_script(site, *["h.pwrite(b'y' * 4096, 8192, nbd.CMD_FLAG_FUA)"] * 3)

    assert flushes(loop) >= before + 3
    with site.path("disk.img").open("rb") as backing:
        backing.seek(8192)
        assert backing.read(4096) == b"y" * 4096


def test_a_flush_through_a_mirror_reaches_the_device(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    site.export(site.file("other.img", SIZE), "other")
    site.array("pool", "mirror", site.dst("disk"), site.dst("other"), "--assume-clean")
    before = flushes(loop)

    site.run("qemu-io", "-f", "raw", "-c", "write -P 7 0 1M", "-c", "flush", site.nbd("pool"))

    assert flushes(loop) > before


def test_trim_punches_the_device(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    qemu_io(site, f"write -P 9 0 {8 * MIB}", "flush")
    assert allocated(site.path("disk.img")) >= 8 * MIB

    nbd_script(site, f"h.trim({4 * MIB}, {MIB}, nbd.CMD_FLAG_FUA)", "h.flush()")

    assert allocated(site.path("disk.img")) <= 4 * MIB + 65536
    qemu_io(site, f"read -P 9 0 {MIB}", f"read -P 9 {5 * MIB} {3 * MIB}")


def test_zeroes_read_back_as_zeroes_and_may_punch(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    qemu_io(site, f"write -P 9 0 {8 * MIB}", "flush")

    nbd_script(site, f"h.zero({4 * MIB}, {MIB})", "h.zero(1000, 100)", "h.flush()")

    assert allocated(site.path("disk.img")) <= 4 * MIB + 65536
    qemu_io(
        site, f"read -P 0 {MIB} {4 * MIB}", "read -P 0 100 1000", "read -P 9 1100 4096", "read -P 9 0 100"
    )


def test_zeroes_without_holes_keep_the_space(site: Site, loop: Path) -> None:
    site.export(loop, "disk")
    qemu_io(site, f"write -P 9 0 {4 * MIB}", "flush")

    nbd_script(site, f"h.zero({MIB}, {MIB}, nbd.CMD_FLAG_NO_HOLE)", "h.flush()")

    assert allocated(site.path("disk.img")) >= 4 * MIB
    qemu_io(site, f"read -P 0 {MIB} {MIB}", f"read -P 9 {2 * MIB} {2 * MIB}")


def test_a_mounted_device_is_refused_and_its_mount_point_named(site: Site, loop: Path) -> None:
    place = site.path("mnt")
    place.mkdir()
    site.run("mkfs.ext4", "-q", loop)
    site.run("mount", loop, place)
    try:
        refused = site.dsttool("export", loop, "--name", "disk", code=None)
    finally:
        site.run("umount", place)

    assert refused.returncode not in (0, 1)
    assert str(place) in refused.stderr


def test_a_device_held_by_a_process_is_refused_and_the_process_named(site: Site, loop: Path) -> None:
    holder = os.open(loop, os.O_RDWR | os.O_EXCL)
    try:
        refused = site.dsttool("export", loop, "--name", "disk", code=None)
    finally:
        os.close(holder)

    assert refused.returncode not in (0, 1)
    assert str(os.getpid()) in refused.stderr


def test_a_device_already_exported_is_refused(site: Site, loop: Path) -> None:
    first = site.export(loop, "disk")

    refused = site.dsttool("export", loop, "--name", "second", code=None)

    assert refused.returncode not in (0, 1)
    assert str(first.process.pid) in refused.stderr
