"""nbd-client, the kernel's companion: here only its listing, which needs no kernel module."""

from support.ports import free_port
from support.site import Site


def test_nbd_client_lists_an_export_over_a_unix_socket(site: Site) -> None:
    site.export(site.file("disk.img", 1 << 20), "disk")

    listing = site.run("nbd-client", "-l", "-unix", site.path("disk.nbd")).stdout

    assert "disk" in listing.split()


def test_nbd_client_lists_an_export_over_tcp(site: Site) -> None:
    port = free_port()
    site.export(site.file("disk.img", 1 << 20), "disk", "--listen", f"nbd://127.0.0.1:{port}")

    listing = site.run("nbd-client", "-l", "127.0.0.1", port).stdout

    assert "disk" in listing.split()
    site.run("nbdinfo", "--size", f"nbd://127.0.0.1:{port}/disk")
