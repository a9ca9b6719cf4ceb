"""Peers' clients against an export, each layout and a tree: all of them must find their bytes again."""

import json
import random
from pathlib import Path

import pytest

from support import fio, subjects
from support.site import Site

every_device = pytest.mark.parametrize("kind", subjects.NAMES)


def picture(path: Path, size: int) -> Path:
    """A file with data at odd places and holes between, the same at every call."""
    dice = random.Random(1)
    with path.open("wb") as file:
        file.truncate(size)
        for _ in range(40):
            file.seek(dice.randrange(size - (1 << 19)))
            file.write(dice.randbytes(dice.randrange(1, 1 << 19)))
    return path


@every_device
def test_nbdinfo_sees_the_size_and_what_the_device_can_do(site: Site, kind: str) -> None:
    found = json.loads(site.run("nbdinfo", "--json", subjects.start(site, kind)).stdout)

    assert found["protocol"] == "newstyle-fixed"
    (export,) = found["exports"]
    assert export["export-size"] == subjects.SIZES[kind]
    assert export["is_read_only"] is False
    for ability in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
        assert export[ability] is True, ability
    assert export["block_size_minimum"] == 1


@every_device
def test_nbdinfo_lists_it_by_its_name(site: Site, kind: str) -> None:
    found = json.loads(site.run("nbdinfo", "--list", "--json", subjects.start(site, kind)).stdout)

    assert [(e["export-name"], e["export-size"]) for e in found["exports"]] == [(kind, subjects.SIZES[kind])]


@every_device
def test_nbdcopy_brings_a_file_in_and_out_again(site: Site, kind: str) -> None:
    uri = subjects.start(site, kind)
    original = picture(site.path("in"), subjects.SIZES[kind])

    site.run("nbdcopy", original, uri)
    site.run("nbdcopy", uri, site.path("out"))

    site.run("cmp", original, site.path("out"))
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", original, uri)


@every_device
def test_qemu_img_converts_into_it_and_out_of_it(site: Site, kind: str) -> None:
    uri = subjects.start(site, kind)
    original = picture(site.path("in"), subjects.SIZES[kind])

    site.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", original, uri)
    site.run("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, site.path("out"))

    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", original, uri)
    site.run("cmp", original, site.path("out"))


@every_device
def test_qemu_io_reads_the_patterns_it_wrote_trimmed_and_zeroed(site: Site, kind: str) -> None:
    uri = subjects.start(site, kind)
    middle = subjects.SIZES[kind] // 2  # where a linear array changes members
    steps = [
        f"write -P 0xaa {middle - 100_000} 1000000",
        f"write -f -P 0xbb {middle - 1} 3",
        "flush",
        f"read -P 0xaa {middle - 100_000} 99999",
        f"read -P 0xbb {middle - 1} 3",
        f"read -P 0xaa {middle + 2} 899998",
        f"write -z {middle - 50_000} 100001",
        f"read -P 0 {middle - 50_000} 100001",
        f"read -P 0xaa {middle + 50_001} 849999",
        f"write -z -u {middle + 60_000} 50000",
        f"read -P 0 {middle + 60_000} 50000",
        f"discard {middle + 131_072} 131072",
        f"read -P 0xaa {middle + 262_144} 600000",
        f"aio_write -P 0x11 0 {1 << 20}",
        f"aio_write -P 0x22 {1 << 20} 512",
        "aio_flush",
        f"read -P 0x11 0 {1 << 20}",
        f"read -P 0x22 {1 << 20} 512",
    ]

    done = site.run("qemu-io", "-f", "raw", *(word for step in steps for word in ("-c", step)), uri)

    assert "Pattern verification failed" not in done.stdout
    assert "failed" not in done.stdout + done.stderr


@every_device
def test_fio_verifies_mixed_sizes_at_offsets_not_aligned_to_4k(site: Site, kind: str) -> None:
    fio.verify(site, subjects.start(site, kind), 40 << 20)


@pytest.mark.parametrize("block", ["4k", "32k", "64k"])
def test_queues_deeper_than_any_window_are_worked_off(site: Site, block: str) -> None:
    uri = subjects.start(site, "stripe")
    load = ("--name=deep", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", f"--bs={block}", "--iodepth=3000")

    site.run("fio", *load, "--size=96m", "--io_size=128m", timeout=60)


def test_the_members_of_a_mirror_hold_the_same_bytes_afterwards(site: Site) -> None:
    uri = subjects.start(site, "mirror")

    fio.verify(site, uri, 24 << 20)

    site.run("cmp", site.path("a.img"), site.path("b.img"))
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", site.path("a.img"), uri)


def test_an_export_is_read_through_dst_as_it_is_through_nbd(site: Site) -> None:
    """A linear array of one node is that node: the DST path changes no byte."""
    picture(site.path("a.img"), subjects.LEAF)
    site.export(site.path("a.img"), "a")
    site.array("one", "linear", site.dst("a"))

    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", site.nbd("a"), site.nbd("one"))
