"""Which algorithms there are: those of this room, and what other packages bring along.

A package adds a layout by an entry point in the group `dsttool.algorithms` whose name is the
layout's and whose object is a subclass of Algorithm. Layouts of this room are found without looking
at what is installed, which takes tens of milliseconds; nor can another package replace them.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.suggest import suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "dsttool.algorithms"
_BUILT_IN: Final = {"linear": "Linear", "mirror": "Mirror", "stripe": "Stripe"}


def names() -> list[str]:
    """All layouts that can be used here, sorted. Looks at every installed package."""
    return sorted({*_BUILT_IN, *(entry.name for entry in _entry_points())})


def find(name: str) -> type[Algorithm]:
    """The algorithm of the layout of this name. UsageError if there is none, or it cannot be loaded."""
    if name in _BUILT_IN:
        module = import_module(f"{__package__}.{name}")
        return _checked(name, getattr(module, _BUILT_IN[name]))
    for entry in _entry_points():
        if entry.name == name:
            return _checked(name, _loaded(entry))
    known = names()
    near = suggest(name, known)
    raise UsageError(
        f"There is no layout '{name}'.",
        f"Did you mean '{near}'?" if near else f"Use one of {', '.join(known)}.",
    )


def _entry_points() -> "Iterable[EntryPoint]":
    from importlib.metadata import entry_points  # loads a lot, and is needed for other names only

    return entry_points(group=GROUP)


def _loaded(entry: "EntryPoint") -> object:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The layout '{entry.name}' cannot be loaded from {entry.value}: {error}.",
            "Reinstall the package that brings it.",
        ) from error


def _checked(name: str, found: object) -> type[Algorithm]:
    if isinstance(found, type) and issubclass(found, Algorithm):
        return found
    raise UsageError(
        f"The layout '{name}' is not a dsttool algorithm but {found!r}.",
        "Update or remove the package that brings it.",
    )
