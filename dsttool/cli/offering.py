"""The options of those who offer devices: what protects the links, and who may come in."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from dsttool.cli.file_name import FileName
from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from dsttool.engine.config.address_rules import AddressRules
    from dsttool.engine.config.listen import Listen

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_PROTECTION: Final = (
    click.option(
        "--security",
        default="",
        metavar="NAME",
        help="Protection of DST listeners that do not spell their own: none, checksum, aes256gcm,"
        " chacha20poly1305.",
    ),
    click.option(
        "--key",
        type=FileName(readable=False),
        metavar="FILE",
        help="Their key, shared or private, instead of this machine's.",
    ),
    click.option(
        "--access",
        "rules",
        multiple=True,
        metavar="RULE",
        help="Who may connect over a network, e.g. 'allow 10.0.0.0/8'; the first that matches wins.",
    ),
)
_INVITATION: Final = (
    click.option(
        "--invite", is_flag=True, help="Print a line, a secret, by which another machine's key comes in."
    ),
    click.option(
        "--invite-expires", metavar="TIME", default="1d", show_default=True, help="How long that line holds."
    ),
)


@dataclass(frozen=True, slots=True)
class Offering:
    """What these options say. invite_ns: how long an invitation is to hold; None for no invitation."""

    security: str
    key: str
    rules: tuple[str, ...]
    invite_ns: int | None = None

    def places(self, texts: Sequence[str]) -> "tuple[Listen, ...]":
        """The places of --listen, under these options."""
        from dsttool.engine.config.listen import parse_listen

        return tuple(parse_listen(text).with_security(self.security, self.key) for text in texts)

    @property
    def access(self) -> "AddressRules | None":
        """The rules for addresses; None if none is given."""
        from dsttool.engine.config.address_rules import parse_rules

        return parse_rules(self.rules) if self.rules else None


def offering(*, invites: bool) -> Callable[[_Decorated], _Decorated]:
    """Give a command these options, as one argument `offering`. Below `shared`."""

    def decorate(function: _Decorated) -> _Decorated:
        @functools.wraps(function)
        def collect(
            settings: Settings, *, security: str, key: str | None, rules: tuple[str, ...], **others: Any
        ) -> Any:
            _check_security(security)
            invite, expires = others.pop("invite", False), others.pop("invite_expires", "")
            invite_ns = _lifetime(settings, expires) if invite else None
            return function(settings, offering=Offering(security, key or "", rules, invite_ns), **others)

        decorated: Any = collect
        for option in reversed(_PROTECTION + (_INVITATION if invites else ())):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _check_security(word: str) -> None:
    from dsttool.engine.config.options import parse_option

    if word:
        parse_option("security", word, "--security")


def _lifetime(settings: Settings, expires: str) -> int:
    from dsttool.engine.config.units import parse_duration

    if settings.json:
        raise UsageError("An invitation is a secret, and none is put into JSON.", "Leave out --json.")
    lifetime_ns = parse_duration(expires)
    if not lifetime_ns:
        raise UsageError("An invitation that holds for no time is none.", "Write for example 1h.")
    return lifetime_ns
