"""The same over TCP, on loopback."""

from support import fio, subjects
from support.ports import free_port
from support.site import Site


def test_fio_verifies_a_stripe_over_exports_that_listen_on_tcp(site: Site) -> None:
    nodes = []
    for name in "ab":
        address = f"dst://127.0.0.1:{free_port()}"
        site.export(site.file(f"{name}.img", subjects.LEAF), name, "--listen", f"{address}?security=none")
        nodes.append(f"{address}/{name}?security=none")
    port = free_port()
    site.array("pool", "stripe", *nodes, "--chunk", "64K", "--listen", f"nbd://127.0.0.1:{port}")

    fio.verify(site, f"nbd://127.0.0.1:{port}/pool", 24 << 20)


def test_plain_nbd_beyond_this_machine_must_be_spelled_out(site: Site) -> None:
    path = site.file("a.img", 1 << 20)

    refused = site.dsttool("export", path, "--listen", f"nbd://0.0.0.0:{free_port()}", code=6)

    assert "security=none" in refused.stderr
