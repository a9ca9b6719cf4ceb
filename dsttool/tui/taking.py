"""Updates on their way into the picture: what would break the screen is not shown.

Frames are checked for their skeleton when they come. The screen needs more of a state: every field that it
draws, of its kind. A recording may be damaged, and a machine may have another release.
"""

from typing import Final

import msgspec

from dsttool.engine.control.picture import DaemonPicture, Picture, Update
from dsttool.engine.vocabulary.stream import State

_WRONG: Final = "what it tells makes no sense to this release"


def take(picture: Picture, update: Update) -> None:
    """Apply an update. A daemon whose state is none is forgotten, and lost until it begins anew."""
    changed = picture.apply(update)
    if isinstance(changed, DaemonPicture) and update.frame is not None and not _is_sound(changed):
        picture.forget(update.place, update.daemon)
        picture.apply(Update(update.place, update.daemon, update.received_ns, None, _WRONG))


def _is_sound(daemon: DaemonPicture) -> bool:
    if daemon.state is None:
        return True
    try:
        msgspec.convert(daemon.state, State)
    except (msgspec.ValidationError, RecursionError, UnicodeError):
        return False
    return True
