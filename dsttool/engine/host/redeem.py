"""The other side of an invitation: this machine comes to the server once, and its key is authorised there."""

from dataclasses import replace

from dsttool.engine.config import key_files, keys
from dsttool.engine.config.invitations import Invite
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.open_node import Opening, open_one
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import SINGLE_COPY
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.wire import dst_security


def redeem(reactor: Reactor, invite: Invite) -> None:
    """Connect with an invitation; this machine's identity as a client is made if there is none yet.

    From then on the address of the invitation is enough. Comes to read only: who writes there now is not
    disturbed. Raises why the server refuses, or cannot be reached.
    """
    address = invite.address
    security = dst_security.of_client(
        address.security,
        key_files.client_identity().secret,
        keys.parse_public(str(address.options["server"])),
        invitation=invite.id,
        invitation_key=invite.key,
    )
    # Once: the invitation may be wrong, and then it stays so.
    policy = replace(SINGLE_COPY, resends=0)
    try:
        device = open_one(reactor, Opening(address, read_only=True, security=security, policy=policy))
    except DsttoolError as error:
        raise type(error)(
            f"The invitation to {address.bare()} did not help: {error.what}", error.advice
        ) from error
    close_all(reactor, [device])
