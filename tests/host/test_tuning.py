"""Daemons that seal with another number of threads from one moment to the next."""

from collections.abc import Callable, Iterator

import pytest

from dsttool.engine.config import key_files, keys
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.machine_file import CRYPTO_THREADS_MAX
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.open_node import Opening, open_one
from dsttool.engine.host.verified_load import VerifiedLoad
from dsttool.engine.runtime.reactor import Reactor
from support.site import Site

SECOND = 1_000_000_000
SIZE = 16 << 20


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def beside(reactor: Reactor, call: Callable[[], object]) -> None:
    """Run what blocks while the load goes on."""
    ended: list[BaseException | None] = []
    reactor.run_blocking(call, lambda _, error: ended.append(error))
    assert reactor.run_until(lambda: bool(ended), 60 * SECOND)
    if ended[0] is not None:
        raise ended[0]


def test_the_threads_are_shown_and_changed(site: Site) -> None:
    site.export(site.file("image", 1 << 20), "disk")
    first = site.json("daemon", "tune", "disk")
    assert first["threads"] == first["before"] >= 0
    changed = site.json("daemon", "tune", "disk", "--crypto-threads", "3")
    assert (changed["before"], changed["threads"]) == (first["threads"], 3)
    assert site.json("daemon", "tune", "disk")["threads"] == 3
    assert "0 threads" in site.dsttool("daemon", "tune", "disk", "--crypto-threads", "0").stdout


def test_more_threads_than_anybody_needs_are_refused(site: Site) -> None:
    site.export(site.file("image", 1 << 20), "disk")
    refused = site.dsttool("daemon", "tune", "disk", "--crypto-threads", CRYPTO_THREADS_MAX + 1, code=2)
    assert str(CRYPTO_THREADS_MAX) in refused.stderr


@pytest.mark.parametrize("value", ["two", "-1", "65", ""])
def test_a_bad_number_in_the_environment_is_said_at_the_start(site: Site, value: str) -> None:
    site.env["DSTTOOL_CRYPTO_THREADS"] = value
    refused = site.dsttool("export", site.file("image", 1 << 20), "--name", "disk", code=2)
    assert "DSTTOOL_CRYPTO_THREADS" in refused.stderr


def test_a_number_in_the_machines_file_holds_unless_the_environment_says_another(site: Site) -> None:
    file = site.path("config/dsttool.toml")
    file.parent.mkdir()
    file.write_text("[daemon]\ncrypto_threads = 5\n")
    site.export(site.file("a.img", 1 << 20), "a")
    assert site.json("daemon", "tune", "a")["threads"] == 5
    site.env["DSTTOOL_CRYPTO_THREADS"] = "2"
    site.export(site.file("b.img", 1 << 20), "b")
    assert site.json("daemon", "tune", "b")["threads"] == 2


def test_a_sealed_array_goes_on_while_threads_come_and_go(site: Site, reactor: Reactor) -> None:
    key = site.path("shared.key")
    key_files.create_key(key, keys.generate_shared())
    sealed = {"security": "aes256gcm", "key": key}
    site.env["DSTTOOL_CRYPTO_THREADS"] = "2"
    for name in ("a", "b"):
        site.export(site.file(f"{name}.img", SIZE), name, "--security", "aes256gcm", "--key", key)
    site.array("arr", "mirror", site.dst("a", **sealed), site.dst("b", **sealed), "--assume-clean")
    reactor.run_until(lambda: True)  # daemons took their time to start: have the clock of now
    device = open_one(reactor, Opening(parse_address(site.dst("arr"))))
    load = VerifiedLoad(reactor, device, 256)
    load.start()
    for threads in (0, 4, 1, 0, 2):
        for name in ("a", "arr"):
            beside(
                reactor, lambda n=name, t=threads: site.dsttool("daemon", "tune", n, "--crypto-threads", t)
            )
    assert load.stop(60 * SECOND)
    assert load.check_all(60 * SECOND)
    assert (load.tally.errors, load.tally.mismatches) == (0, 0)
    assert load.tally.requests > 1000
    assert close_all(reactor, [device])
    (array,) = site.json("status")["arrays"]
    links = [member["link"] for member in array["members"]]
    assert [link["security"] for link in links] == ["aes256gcm"] * 2
    assert [link["bad_records"] for link in links] == [0, 0]
