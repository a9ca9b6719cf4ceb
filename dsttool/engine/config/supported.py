"""What addresses may say, and this release cannot do yet: refused here, in this one place.

The forms are settled (protocol.md), so they parse; to open one up, remove its check.
"""

from dsttool.engine.config import protection
from dsttool.engine.config.address import Address
from dsttool.engine.vocabulary.errors import UsageError


def check_supported(address: Address) -> None:
    """UsageError if a node's address contradicts itself, or asks for what this release cannot do."""
    protection.check_address(address)
    if address.kind == "nbd" and address.options.get("links", 1) != 1:
        raise UsageError(
            f"'{address}' asks for several links, and NBD has no sessions to hold them together.",
            "Leave links= out, or export the device with dsttool and use its dst:// address.",
        )
