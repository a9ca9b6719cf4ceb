"""Another key in a file that a place names: a reload takes it up, and whoever is there stays."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dsttool.engine.config.key_files import create_key
from dsttool.engine.config.keys import Key, SharedKey, generate_private, shared_fingerprint
from dsttool.engine.config.listen import Listen
from dsttool.engine.host.reloading import Comparison
from dsttool.engine.vocabulary.errors import NotFound, UsageError
from host.test_moved_places import House, house

__all__ = ["house"]  # a fixture


@pytest.fixture
def file(house: House) -> Path:
    path = house.site.path("lab.key")
    create_key(path, SharedKey(b"a" * 32))
    house.begin(
        *(house.unix(name, "security=aes256gcm", f"key={path}", protocol="dst") for name in ("x", "y"))
    )
    return path


def put(file: Path, key: Key) -> None:
    file.unlink()
    create_key(file, key)


def reload(house: House) -> Comparison:
    comparison = Comparison()
    house.access.look_up()
    house.access.compare(house.access.read(), comparison)
    assert comparison.attempt is None, "nothing of it can be refused any more"
    for act in comparison.acts:
        act()
    return comparison


def reload_to(house: House, wanted: Sequence[Listen]) -> None:
    """Reload a configuration that names these places to listen at."""
    places = house.access.prepare(wanted, None)
    house.access.look_up()
    comparison = Comparison()
    house.access.compare(house.access.read(), comparison)
    house.access.move(wanted, None, places)
    for act in comparison.acts:
        act()


def secrets(house: House) -> set[bytes | None]:
    opened = house.access.listening._open
    assert all(each.listeners[0].on_accept == each.server.accept for each in opened)
    return {each.place.security.psk for each in opened if each.place.listen.key}


def test_another_key_is_let_in_by_at_every_place_that_names_it(house: House, file: Path) -> None:
    before, after = SharedKey(b"a" * 32), SharedKey(b"b" * 32)
    assert reload(house).applied == []
    put(file, after)
    assert reload(house).applied == [
        {
            "of": "",
            "key": f"key {file}",
            "before": shared_fingerprint(before),
            "after": shared_fingerprint(after),
        }
    ]
    assert secrets(house) == {after.secret}
    assert reload(house).applied == []


def test_who_came_in_by_the_key_of_before_stays(house: House, file: Path) -> None:
    client = house.come("x")
    first = next(each.server for each in house.access.listening._open if each.place.listen.key)
    assert house.reactor.run_until(lambda: bool(first.connections), 20 * 10**9)
    put(file, SharedKey(b"b" * 32))
    reload(house)
    assert first in house.access.listening.servers
    assert len(first.connections) == 1
    client.close()
    assert house.reactor.run_until(lambda: not first.connections, 20 * 10**9)
    put(file, SharedKey(b"c" * 32))
    reload(house)
    assert first not in house.access.listening.servers


def test_a_place_that_is_new_has_the_new_key_at_once(house: House, file: Path) -> None:
    put(file, SharedKey(b"b" * 32))
    sealed = [
        house.unix(name, "security=aes256gcm", f"key={file}", protocol="dst") for name in ("x", "y", "z")
    ]
    reload_to(house, sealed)
    assert secrets(house) == {b"b" * 32}


def test_a_key_of_another_kind_needs_a_restart(house: House, file: Path) -> None:
    put(file, generate_private())
    for _ in range(2):
        comparison = reload(house)
        assert comparison.applied == []
        (change,) = comparison.restart
        assert change["key"] == f"key {file}"
    assert secrets(house) == {b"a" * 32}


def test_a_key_file_that_cannot_be_used_any_more_refuses_the_whole(house: House, file: Path) -> None:
    put(file, SharedKey(b"b" * 32))
    file.write_text("nonsense")
    with pytest.raises(UsageError, match=r"lab\.key"):
        reload(house)
    os.unlink(file)
    with pytest.raises(NotFound, match=r"lab\.key"):
        reload(house)
    assert secrets(house) == {b"a" * 32}


def test_the_key_of_a_place_that_is_to_go_may_go_before(house: House, file: Path, tmp_path: Path) -> None:
    os.unlink(file)
    other = tmp_path / "other.key"
    create_key(other, SharedKey(b"b" * 32))
    wanted = [house.unix(name, "security=aes256gcm", f"key={other}", protocol="dst") for name in ("x", "z")]
    reload_to(house, wanted)
    assert secrets(house) == {b"b" * 32}
    assert reload(house).applied == []


def test_another_private_key_is_told_to_those_who_ask_for_the_address(house: House, tmp_path: Path) -> None:
    file = tmp_path / "server.key"
    create_key(file, generate_private())
    house.begin(house.unix("x", "security=aes256gcm", f"key={file}", protocol="dst"))
    (before,) = house.places()
    put(file, generate_private())
    reload(house)
    (after,) = house.places()
    assert "server=dst1-" in after
    assert after != before
