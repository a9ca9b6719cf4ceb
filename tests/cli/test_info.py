"""`info` looks, tells, and leaves as it came."""

import pytest

from support.site import Site, wait_until


@pytest.mark.parametrize("protocol", ["dst", "nbd"])
def test_a_device_that_was_looked_at_is_closed_and_can_be_written_by_the_next(
    site: Site, protocol: str
) -> None:
    daemon = site.export("mem:1M", "a")
    address = site.dst("a") if protocol == "dst" else site.nbd("a")
    assert site.json("info", address)["size_bytes"] == 1 << 20
    wait_until(
        lambda: f"{protocol} client" in daemon.output and "has left" in daemon.output, "it says goodbye"
    )
    assert "connection lost" not in daemon.output
    assert site.json("status", "a")["exports"][0]["sessions"] == []
    site.dsttool("cp", site.file("data", 1 << 20, b"x"), address)


def test_what_cannot_be_reached_is_an_error_with_advice(site: Site) -> None:
    lines = site.dsttool("info", site.dst("nobody"), code=4).stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1]
