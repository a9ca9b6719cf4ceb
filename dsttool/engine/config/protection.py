"""From what an address or a listener says to the Security of its links, with the keys read from their files.

    security=none, checksum       no keys; key= and server= are refused
    aes256gcm, chacha20poly1305   key=FILE with a shared key: both ends have it
                                  key=FILE with a private key, or no key=: identities. A client needs the
                                  server's public key (server=), a server decides whose keys it lets in

FILE is a path, or the name of a key in dsttool.toml. Without key= a client is the machine's identity in the
config folder, a server the one in the state folder; each is made when it is first needed. Key files are read
when a link is set up, never kept in a configuration, and refused if others have access to them.
"""

from collections.abc import Callable

from dsttool.engine.config import key_files, keys
from dsttool.engine.config.address import Address
from dsttool.engine.config.keys import SharedKey
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.named_keys import key_file
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.wire import dst_security
from dsttool.engine.wire.dst_security import Security


def check_address(address: Address) -> None:
    """UsageError if what a node's address says about its protection contradicts itself. Reads nothing."""
    if address.kind != "dst":
        for option in ("key", "server"):
            if option in address.options:
                raise UsageError(f"'{address}' says {option}=, which is for dst addresses.", "Leave it out.")
        return
    if address.security not in ("none", "checksum"):
        if not ("key" in address.options or "server" in address.options):
            separator = "&" if address.options else "?"
            raise UsageError(
                f"'{address}' is sealed with {address.security}, and does not say with which keys.",
                "Add server= with the server's public key (`dsttool key show` there), key= with the file of a"
                f" shared key, or, inside a network you trust, write {address}{separator}security=none.",
            )
        return
    for option in ("key", "server"):
        if option in address.options:
            raise UsageError(
                f"'{address}' says {option}=, and security={address.security} uses no keys.",
                f"Leave {option}= out, or use security=aes256gcm.",
            )


def of_address(address: Address) -> Security:
    """What protects the links of a client. UsageError; NotFound and Forbidden for a key file."""
    check_address(address)
    if address.security == "none":
        return dst_security.PLAIN
    if address.security == "checksum":
        return dst_security.checksummed()
    file, server = str(address.options.get("key", "")), str(address.options.get("server", ""))
    key = key_files.load_key(key_file(file)) if file else key_files.client_identity()
    if isinstance(key, SharedKey):
        if server:
            raise UsageError(
                f"'{address}' has a shared key and a server's public key.", "Leave one of the two out."
            )
        return dst_security.shared(address.security, key.secret)
    if not server:
        raise UsageError(
            f"'{address}' has a private key, and does not say whom it is for.",
            "Add server= with the server's public key: `dsttool key show` there.",
        )
    return dst_security.of_client(address.security, key.secret, keys.parse_public(server))


def of_listen(
    listen: Listen,
    admits: Callable[[bytes], bool],
    psk_for: Callable[[bytes], bytes | None] = dst_security.no_invitation,
) -> tuple[Security, bytes | None]:
    """What protects the links of a server, and its public key where it has one.

    admits, psk_for: see dst_security. NotFound, Forbidden and UsageError for a key file.
    """
    if listen.security == "none":
        return dst_security.PLAIN, None
    if listen.security == "checksum":
        return dst_security.checksummed(), None
    key = key_files.load_key(key_file(listen.key)) if listen.key else key_files.server_identity()
    if isinstance(key, SharedKey):
        return dst_security.shared(listen.security, key.secret), None
    return dst_security.of_server(listen.security, key.secret, admits, psk_for), key.public
