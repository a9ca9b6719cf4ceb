"""Which devices count as the same, by what sysfs says of them."""

from pathlib import Path

from dsttool.engine.node.identity import disk_words


def disk(folder: Path, **files: str) -> str:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return str(folder)


def test_a_disk_is_the_same_under_another_name(tmp_path: Path) -> None:
    found = disk(tmp_path, device__wwid="naa.5000c500")
    assert disk_words(found, "/dev/sdb") == disk_words(found, "/dev/sdc")


def test_another_disk_under_the_same_name_is_another_one(tmp_path: Path) -> None:
    first = disk(tmp_path / "first", device__wwid="naa.5000c500")
    second = disk(tmp_path / "second", device__wwid="naa.5000c501")
    assert disk_words(first, "/dev/sdb") != disk_words(second, "/dev/sdb")


def test_partitions_of_a_disk_are_different_devices(tmp_path: Path) -> None:
    disk(tmp_path, wwid="eui.0025")
    first = disk(tmp_path / "p1", partition="1", start="2048")
    second = disk(tmp_path / "p2", partition="2", start="4096")
    assert disk_words(first, "/dev/nvme0n1p1") != disk_words(second, "/dev/nvme0n1p2")
    assert disk_words(first, "/dev/nvme0n1p1")[0] == "eui.0025"


def test_disks_of_which_little_is_known_are_told_apart_by_their_names(tmp_path: Path) -> None:
    found = disk(tmp_path, serial="overlay")
    assert disk_words(found, "/dev/vda") != disk_words(found, "/dev/vdb")


def test_a_loop_device_over_another_file_is_another_one(tmp_path: Path) -> None:
    first = disk(tmp_path / "first", loop__backing_file="/srv/a.img")
    second = disk(tmp_path / "second", loop__backing_file="/srv/b.img")
    assert disk_words(first, "/dev/loop0") != disk_words(second, "/dev/loop0")
