"""What changed between two States, as a Delta says it. Pure."""

from collections.abc import Mapping
from typing import Any

Change = tuple[list[str], object]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[Change], list[list[str]]]:
    """Changes and removals that make `before` into `after`; what is no dictionary is replaced as a whole."""
    changes: list[Change] = []
    removals: list[list[str]] = []
    _compare(before, after, [], changes, removals)
    return changes, removals


def _compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    path: list[str],
    changes: list[Change],
    removals: list[list[str]],
) -> None:
    for key, value in after.items():
        old = before.get(key)
        if old is value and key in before:
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            _compare(old, value, [*path, key], changes, removals)
        elif key not in before or old != value:
            changes.append(([*path, key], value))
    removals += [[*path, key] for key in before if key not in after]
