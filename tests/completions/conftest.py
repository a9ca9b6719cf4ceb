"""One place with an array that runs and one that does not, and one session of every shell in it."""

from collections.abc import Iterator

import pytest

from support.shells import Shell
from support.site import Site


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Exports e1 and e2, over them the array pool with members left and right, and the array cold, down."""
    with Site() as site:
        site.export("mem:4M", "e1")
        site.export("mem:4M", "e2")
        site.array(
            "pool",
            "mirror",
            *(f"{site.dst(at)}&name={name}" for at, name in (("e1", "left"), ("e2", "right"))),
        )
        site.dsttool("array", "create", "cold", "--layout", "mirror", "--raw", "/tmp/a", "/tmp/b")
        site.dsttool("key", "generate", site.path("client.key"))
        for name in ("plain.img", "with blank.img"):
            site.file(name, 4096)
        yield site


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, place: Site) -> Iterator[Shell]:
    """A session of each shell."""
    opened = Shell(place, request.param)
    yield opened
    opened.close()
