"""Other people's NBD servers as nodes: nbdkit, kind and unkind, and qemu-nbd."""

import signal
import sys
import time

import pytest

from support import fio
from support.site import STOP_SECONDS, Daemon, Site, wait_until

SIZE = 32 << 20


def nbdkit(site: Site, name: str, *words: object) -> Daemon:
    """Serve with nbdkit on NAME.nbd, where site.nbd(NAME) finds it."""
    socket = site.path(f"{name}.nbd")
    socket.unlink(missing_ok=True)  # nbdkit does not replace what a dead one left
    return site.start("nbdkit", "--foreground", "--unix", socket, *words, ready=socket)


def wait_connects(site: Site, number: int) -> None:
    """Wait until the first member of the array pool is connected for this many times."""

    def connects() -> int:
        (found,) = site.json("status", "pool")["arrays"]
        return int(found["members"][0]["link"]["connects"])

    wait_until(lambda: connects() == number, f"n0 is connected for time {number}")


@pytest.mark.parametrize("layout", ["linear", "stripe", "mirror"])
def test_arrays_over_nbdkit_hold_what_fio_wrote(site: Site, layout: str) -> None:
    nbdkit(site, "a", "memory", SIZE)
    nbdkit(site, "b", "file", site.file("b.img", SIZE))
    site.array(
        "pool", layout, site.nbd("a"), site.nbd("b"), *(["--assume-clean"] if layout == "mirror" else [])
    )

    fio.verify(site, site.nbd("pool"), 24 << 20)


def test_a_server_with_larger_blocks_gives_its_minimum_to_the_array(site: Site) -> None:
    sizes = ("blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=1M")
    nbdkit(site, "a", "--filter=blocksize-policy", "memory", SIZE, *sizes, "blocksize-error-policy=error")
    site.array("pool", "linear", site.nbd("a"))

    seen = site.run("nbdinfo", site.nbd("pool")).stdout

    assert "block_size_minimum: 4096" in seen
    site.run("qemu-io", "-f", "raw", "-c", "write -P 3 4096 2M", "-c", "read -P 3 4096 2M", site.nbd("pool"))


def test_a_read_only_server_makes_a_read_only_array(site: Site) -> None:
    nbdkit(site, "a", "--readonly", "pattern", SIZE)
    site.array("pool", "linear", site.nbd("a"))

    assert "is_read_only: true" in site.run("nbdinfo", site.nbd("pool")).stdout
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", site.nbd("a"), site.nbd("pool"))


def test_the_errno_of_a_server_reaches_the_client(site: Site) -> None:
    switch = site.path("errors-on")
    filter_words = ("error-pwrite=ENOSPC", "error-pwrite-rate=100%", f"error-pwrite-file={switch}")
    nbdkit(site, "a", "--filter=error", "memory", SIZE, *filter_words)
    site.array("pool", "linear", site.nbd("a"))
    switch.touch()

    done = site.run("qemu-io", "-f", "raw", "-c", "write 0 4096", site.nbd("pool"), code=1)

    assert "No space left on device" in done.stdout + done.stderr
    switch.unlink()
    site.run("qemu-io", "-f", "raw", "-c", "write 0 4096", "-c", "read 0 4096", site.nbd("pool"))


def test_a_slow_server_holds_up_no_other_export_of_the_same_process(site: Site) -> None:
    server = nbdkit(site, "a", "memory", SIZE)
    socket = site.path("both.nbd")
    site.start(
        *(sys.executable, "-m", "dsttool", "export", site.nbd("a"), site.file("fast.img", SIZE)),
        *("--name", "slow", "--name", "fast", "--listen", f"nbd+unix:///?socket={socket}"),
        ready=socket,
    )
    server.process.send_signal(signal.SIGSTOP)
    read = ("qemu-io", "-f", "raw", "-c", "read 0 4096")
    slow = Daemon([*read, f"nbd+unix:///slow?socket={socket}"], site.env, site.path("slow.log"))
    site.daemons.append(slow)
    wait_until(lambda: site.json("tx", "list")["total"] == 1, "the slow read waits")

    for _ in range(5):
        site.run(*read, f"nbd+unix:///fast?socket={socket}")

    assert slow.process.poll() is None, "the slow read was not slow"
    server.process.send_signal(signal.SIGCONT)
    assert slow.process.wait(STOP_SECONDS) == 0, slow.output


def test_cp_copies_from_nbdkit_to_a_file_and_back(site: Site) -> None:
    nbdkit(site, "from", "pattern", SIZE)
    target = site.path("to.img")

    site.dsttool("cp", site.nbd("from"), target)
    nbdkit(site, "back", "memory", SIZE)
    site.dsttool("cp", target, site.nbd("back"))

    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", target, site.nbd("from"))
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", target, site.nbd("back"))


def test_info_says_of_nbdkit_what_nbdinfo_says(site: Site) -> None:
    nbdkit(site, "a", "memory", SIZE)

    assert site.json("info", site.nbd("a"))["size_bytes"] == SIZE


def test_info_says_which_guarantees_a_plain_server_gives(site: Site) -> None:
    nbdkit(site, "a", "memory", SIZE)
    nbdkit(site, "bare", "eval", f"get_size=echo {SIZE}", "pread=head -c $3 /dev/zero", "can_write=exit 0")

    rich, bare = site.json("info", site.nbd("a")), site.json("info", site.nbd("bare"))

    assert (rich["exactly_once"], rich["ordered_after_reconnect"]) == (False, False)
    assert (rich["flush"], rich["fua"], rich["structured_replies"], rich["reconnect"]) == (True,) * 4
    assert (bare["flush"], bare["fua"]) == (False, False)
    shown = site.dsttool("info", site.nbd("bare")).stdout
    assert "mind          a flush cannot be asked for: acked writes may be lost" in shown
    assert "may be executed twice" in shown
    assert "may land after a newer one" in shown
    assert "holds         a lost connection is made again" in shown


@pytest.mark.parametrize("layout", ["linear", "mirror"])
def test_a_server_killed_and_restarted_under_load_costs_nothing(site: Site, layout: str) -> None:
    image = site.file("a.img", SIZE)
    server = nbdkit(site, "a", "file", image)
    nbdkit(site, "b", "file", site.file("b.img", SIZE))
    slow = "resend_timeout=30s&backoff_min=20ms&backoff_max=100ms"
    assumed = ["--assume-clean"] if layout == "mirror" else []
    site.array("pool", layout, *(f"{site.nbd(name)}&{slow}" for name in ("a", "b")), *assumed)
    load = fio.Load(site, site.nbd("pool"), 24 << 20, "12m")

    for connects in (1, 2, 3):
        before = fio.allocated(image)
        wait_until(lambda: fio.allocated(image) > before or not load.running, "the load writes")  # noqa: B023
        wait_connects(site, connects)
        server.kill()
        time.sleep(0.1)
        server = nbdkit(site, "a", "file", image)
    load.finish()

    wait_connects(site, 4)
    (found,) = site.json("status", "pool")["arrays"]
    assert [member["state"] for member in found["members"]] == ["in_sync"] * 2
    assert found["errors"] == 0
