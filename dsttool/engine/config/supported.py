"""What addresses may say, and this release cannot do yet: refused here, in this one place.

The forms are settled (protocol.md), so they parse; to open one up, remove its check.
"""

from dsttool.engine.config.address import Address
from dsttool.engine.config.listen import Listen
from dsttool.engine.vocabulary.errors import UsageError


def check_supported(address: Address) -> None:
    """UsageError if a node's address asks for what this release cannot do."""
    options = address.options
    if address.kind == "dst":
        _check_security(str(address), address.security, spelled="security" in options)
    for key in ("key", "server"):
        if key in options:
            raise UsageError(
                f"'{address}' says {key}=, which is for sealed links, and this release cannot seal them.",
                f"Leave {key}= out.",
            )
    if options.get("links", 1) != 1:
        raise UsageError(
            f"'{address}' asks for several links, and this release makes one.", "Leave links= out."
        )
    if options.get("on_exhausted") == "freeze":
        raise UsageError(
            f"'{address}' asks to freeze when the budget has ended, and this release can only fail.",
            "Leave on_exhausted= out, or raise resends= for a longer budget.",
        )


def check_listen_supported(listen: Listen) -> None:
    """UsageError if an address to listen on asks for what this release cannot do."""
    if listen.protocol == "dst":
        _check_security(str(listen), listen.security, spelled=bool(listen.spelled_security))


def _check_security(address: str, security: str, *, spelled: bool) -> None:
    if security == "none":
        return
    if spelled:
        raise UsageError(
            f"'{address}' asks for security={security}, and this release only has security=none.",
            "Use security=none inside a network you trust, or a Unix socket.",
        )
    separator = "&" if "?" in address else "?"
    raise UsageError(
        f"'{address}' would be sealed ({security} is the default beyond Unix sockets),"
        " and this release cannot seal links yet.",
        f"Inside a network you trust, spell out that it is not: {address}{separator}security=none.",
    )
