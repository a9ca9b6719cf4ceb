"""Fixtures for tests of nodes over real NBD servers."""

from collections.abc import Iterator

import pytest

from support.nbd_servers import Host, Servers


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()
