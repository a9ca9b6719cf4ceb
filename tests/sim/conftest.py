"""`--seeds N`: how many seeds test_seeds runs."""

import gc
import logging
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=300, help="how many seeds the simulator runs")


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """A world makes cycles of objects, and thousands of log lines that nobody reads."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    gc.set_threshold(*before)
