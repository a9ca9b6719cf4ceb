"""What ctrl-p finds: objects to go to, actions on what the cursor is on, panes, themes, keys."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from dsttool.tui import actions, cells, keys, look, targets
from dsttool.tui.subject import Subject

if TYPE_CHECKING:
    from dsttool.tui.app import Tui


class Entry(NamedTuple):
    """name: what is searched in; what: explains it; does: it."""

    name: str
    what: str
    does: Callable[[], object]


class Everything(Provider):
    """All of it, as it is when the palette is opened."""

    async def discover(self) -> Hits:
        """Before anything is typed."""
        for entry in self._entries():
            yield DiscoveryHit(entry.name, entry.does, help=entry.what)

    async def search(self, query: str) -> Hits:
        """What matches what was typed."""
        matcher = self.matcher(query)
        for entry in self._entries():
            score = matcher.match(entry.name)
            if score > 0:
                yield Hit(score, matcher.highlight(entry.name), entry.does, help=entry.what)

    def _entries(self) -> list[Entry]:
        return list(entries(cast("Tui", self.app), getattr(self.focused, "subject", None)))


def entries(app: "Tui", subject: Subject | None) -> Iterator[Entry]:
    """Actions on the subject first: each opens its dialog, and does nothing by itself."""
    if subject is not None and not app.read_only:
        for target in targets.pinned(app.picture, subject):
            for action in actions.of(target.kind):
                name = cells.clean(f"{action.title}: {target.label}")
                yield Entry(name, action.what, partial(app.acting.ask, target, action))
    for place, _, daemon in app.picture.daemons():
        if daemon.state is None or daemon.hello is None:
            continue
        name = daemon.hello["daemon"]
        for array in daemon.state["arrays"].values():
            found = Subject("array", place, name, array["name"])
            yield _go(app, found, f"{array['layout']}, {array['state'].replace('_', ' ')}")
            for member in array["members"]:
                found = Subject("node", place, name, array["name"], member["name"])
                yield _go(app, found, member["state"].replace("_", " "))
        for export in daemon.state["exports"].values():
            yield _go(app, Subject("export", place, name, export["name"]), f"export, {export['state']}")
    for pane in app.main.panes:
        yield Entry(f"Pane: {pane.LABEL.lower()}", "Go there.", partial(app.main.focus_pane, pane))
    for theme in look.THEMES:
        yield Entry(f"Theme: {theme}", "Draw in these colours.", partial(setattr, app, "theme", theme))
    for key in keys.of(""):
        does = partial(app.run_action, key.action)
        yield Entry(f"{key.what.rstrip('.')} ({key.shown.split()[0]})", "A key does the same.", does)


def _go(app: "Tui", subject: Subject, what: str) -> Entry:
    name = subject.label if len(app.picture.places) == 1 else f"{subject.label} on {subject.place}"
    return Entry(f"Open {cells.clean(name)}", cells.clean(what), partial(app.drill, subject))
