"""`key generate`, `show`, `authorize`, `revoke`, `list`."""

import time
from pathlib import Path
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.file_name import FileName
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import authorized, invitations, key_files, keys, paths
from dsttool.engine.config.authorized import Entry
from dsttool.engine.config.invitations import Invitation
from dsttool.engine.control import client
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, Unreachable, UsageError


@click.command(
    epilog="""\b
Examples:
  dsttool key generate
  dsttool key generate --shared /etc/dsttool/keys/lab.key"""
)
@click.argument("file", required=False, type=FileName(path_type=Path, readable=False))
@click.option("--shared", "is_shared", is_flag=True, help="One key that both ends have, instead of a pair.")
@shared(changes=True)
def generate(settings: Settings, file: Path | None, is_shared: bool) -> None:
    """Make a key FILE that only its owner can read; without FILE this machine's identity as a client.

    A pair of keys tells machines apart: its private half stays in the file, and its public half is
    authorised on the machines with the exports, by `key authorize`. A machine has one as a client, in the
    configuration folder, and one as a server, in the state folder; each is made when it is first needed.

    A --shared key is one that both ends have: who has it may do everything that is offered under it. The same
    file has to be on both machines; carry it there by a way that nobody else can read.

    The file has mode 0600, and an existing one is never replaced (exit 8). A key file that others have access
    to is refused wherever it is used. It can be given a name in dsttool.toml, and used as key=NAME.
    """
    if file is None and is_shared:
        raise UsageError("A shared key needs a file.", "Write: dsttool key generate --shared FILE")
    path = key_files.client_key_file() if file is None else file
    if settings.dry_run:
        key_files.refuse_existing(path)
        would(settings, [f"write a new {'shared' if is_shared else 'private'} key to {path}"])
        return
    key = keys.generate_shared() if is_shared else keys.generate_private()
    key_files.create_key(path, key)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.key_file/1", **_described(path, key)})
        return
    render.say(settings, f"{path} has a new {'shared' if is_shared else 'private'} key.")
    if isinstance(key, keys.SharedKey):
        render.say(settings, "Copy it to the other machine by a way that nobody else can read.")
    else:
        public = keys.format_public(key.public)
        render.say(settings, f"Public key: {public}")
        render.say(settings, f"On the machine with the disks: dsttool key authorize {public}")


@click.command(
    epilog="""\b
Examples:
  dsttool key show
  dsttool key show /etc/dsttool/keys/lab.key"""
)
@click.argument("file", required=False, type=FileName(path_type=Path, readable=False))
@shared()
def show(settings: Settings, file: Path | None) -> None:
    """Show public keys and fingerprints, never a secret: of FILE, or of this machine's identities.

    A public key, dst1-..., is what is passed on to others: a client's to `key authorize`, a server's into
    addresses, as server=. A fingerprint is short enough to be compared by eye, over the telephone; that of a
    shared key tells nothing of the key.
    """
    if file is not None:
        shown = [("file", file)]
    else:
        own = (("client", key_files.client_key_file()), ("server", key_files.server_key_file()))
        shown = [(role, path) for role, path in own if path.exists()]
    entries = [{"role": role, **_described(path, key_files.load_key(path))} for role, path in shown]
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.key_files/1", "keys": entries}, entries)
        return
    if not entries and settings.format == "table":
        render.say(settings, "This machine has no keys yet. Make one with: dsttool key generate")
        return
    render.table(
        settings,
        ("ROLE", "KIND", "FINGERPRINT", "PUBLIC KEY", "FILE"),
        [(e["role"], e["kind"], e["fingerprint"], e["public"] or render.UNKNOWN, e["file"]) for e in entries],
    )


@click.command(
    epilog="""\b
Examples:
  dsttool key authorize dst1-... --name laptop
  dsttool key authorize dst1-... --export disk --read-only"""
)
@click.argument("public", metavar="PUBLICKEY")
@click.option("--export", "exports", multiple=True, metavar="NAME", help="Only this export; may be repeated.")
@click.option("--read-only", is_flag=True, help="The key may read, and not write.")
@click.option("--name", default="", help="A name for the key, in lists and for `key revoke`.")
@shared(waits=True, changes=True)
def authorize(settings: Settings, public: str, exports: tuple[str, ...], read_only: bool, name: str) -> None:
    """Let a client's key use this machine's exports: all of them, or those that are named.

    PUBLICKEY is what `key show` prints on the client. Without --export the key may use all exports, those
    of later, too; what --export says of one export is stronger than what is said of all. A key that is
    authorised already gets these rights in addition. Daemons that run know it at once, and an export that
    waits for its first key begins to listen for it.

    The keys are listed in keys/authorized.toml in the configuration folder, which may be edited, too.
    """
    entry = authorized.authorize(
        keys.parse_public(public), exports=exports, read_only=read_only, name=name, store=not settings.dry_run
    )
    if settings.dry_run:
        would(settings, [f"let {_called(entry)} use: {_rights(entry)}"])
        return
    told, failures = _reload(settings)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.key/1", **_listed(entry), "daemons": told})
    else:
        render.say(settings, f"{_called(entry)} may use: {_rights(entry)}.")
        if not told:
            render.say(settings, "It holds from the next `dsttool export` on.")
    _raise_unreachable(failures, "does not know the key yet")


@click.command(
    epilog="""\b
Examples:
  dsttool key revoke laptop"""
)
@click.argument("key", metavar="KEY")
@shared(waits=True, changes=True)
def revoke(settings: Settings, key: str) -> None:
    """Authorise a KEY no more, and cut its links; or withdraw an invitation.

    KEY is a name, a fingerprint, a public key, or the id of an invitation that nobody has used. Its links are
    cut at once, by every daemon of this machine; what it has written stays.
    """
    open_invitations = {invitation.name: invitation for invitation in _open_invitations()}
    if key in open_invitations:
        _withdraw(settings, open_invitations[key])
        return
    if settings.dry_run:
        would(settings, [f"authorise {_called(authorized.load().find(key))} no more, and cut its links"])
        return
    entry = authorized.revoke(key)
    told, failures = _reload(settings)
    cut = sum(each["cut"] for each in told)
    if settings.json:
        answer = {"schema": "dsttool.key/1", **_listed(entry), "cut": cut, "daemons": told}
        render.emit_json(settings, answer)
    else:
        links = (
            "none of its links was up"
            if not cut
            else f"{cut} of its links {'was' if cut == 1 else 'were'} cut"
        )
        render.say(settings, f"{_called(entry)} is not authorised any more; {links}.")
    _raise_unreachable(failures, "may still serve the key")


@click.command("list")
@shared()
def list_keys(settings: Settings) -> None:
    """List the keys that may use this machine's exports, and the invitations that nobody has used.

    An invitation is printed by `export --invite`: a line, a secret, by which another machine's key comes in
    once. Here it is shown by its id, with which `key revoke` withdraws it.
    """
    entries = sorted(authorized.load().entries.values(), key=lambda entry: (entry.name, entry.public))
    listed = [_listed(entry) for entry in entries]
    invited = _open_invitations()
    if settings.json:
        shown = [_shown(invitation) for invitation in invited]
        render.emit_json(settings, {"schema": "dsttool.keys/1", "keys": listed, "invitations": shown}, listed)
        return
    for invitation in invited:
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(invitation.expires / 1e9))
        to = ", ".join(invitation.exports)
        render.note(settings, f"An invitation to {to} holds until {until}; its id is {invitation.name}.")
    if not entries and settings.format == "table":
        render.say(settings, "No key is authorised. Authorise one with: dsttool key authorize PUBLICKEY")
        return
    render.table(
        settings,
        ("NAME", "FINGERPRINT", "EXPORTS", "PUBLIC KEY"),
        [
            (
                entry.name or render.UNKNOWN,
                keys.fingerprint(entry.public),
                _rights(entry),
                keys.format_public(entry.public),
            )
            for entry in entries
        ],
    )


def _described(path: Path, key: keys.Key) -> dict[str, Any]:
    """A key file as it may be shown."""
    if isinstance(key, keys.SharedKey):
        return {
            "kind": "shared",
            "fingerprint": keys.shared_fingerprint(key),
            "public": None,
            "file": str(path),
        }
    public = key.public
    return {
        "kind": "private",
        "fingerprint": keys.fingerprint(public),
        "public": keys.format_public(public),
        "file": str(path),
    }


def _listed(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name or None,
        "fingerprint": keys.fingerprint(entry.public),
        "public": keys.format_public(entry.public),
        "read_write": sorted(entry.read_write),
        "read_only": sorted(entry.read_only),
    }


def _open_invitations() -> list[Invitation]:
    """Invitations that hold and that no key has used."""
    known = authorized.load()
    return [each for each in invitations.load_all() if known.invited_by(each.name) is None]


def _shown(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.name,
        "exports": list(invitation.exports),
        "read_only": invitation.read_only,
        "expires_ns": invitation.expires,
    }


def _withdraw(settings: Settings, invitation: Invitation) -> None:
    if settings.dry_run:
        would(settings, [f"withdraw the invitation to {', '.join(invitation.exports)}"])
        return
    invitations.remove(invitation.name)
    told, failures = _reload(settings)
    if settings.json:
        answer = {"schema": "dsttool.invitation/1", **_shown(invitation), "daemons": told}
        render.emit_json(settings, answer)
    else:
        render.say(settings, f"The invitation to {', '.join(invitation.exports)} holds no more.")
    _raise_unreachable(failures, "may still take the invitation")


def _called(entry: Entry) -> str:
    return entry.name or keys.fingerprint(entry.public)


def _rights(entry: Entry) -> str:
    rights = [(name, "read-write") for name in entry.read_write] + [
        (name, "read-only") for name in entry.read_only
    ]
    return ", ".join(
        f"{'all exports' if name == authorized.EVERY_EXPORT else name} {right}"
        for name, right in sorted(rights)
    )


def _reload(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Have every daemon of this machine read the keys; what each did, and the names of those that did not."""
    told: list[dict[str, Any]] = []
    failures: list[str] = []
    for path in client.sockets(paths.runtime_dir()):
        try:
            with client.Client(path, settings.timeout or client.ANSWER_TIMEOUT) as daemon:
                told.append({"name": path.stem, "cut": int(daemon.call("keys.reload")["cut"])})
        except (NotFound, Unreachable):
            continue  # It has ended, and reads the keys when it starts again.
        except DsttoolError as error:
            render.note(settings, str(error))
            failures.append(path.stem)
    return told, failures


def _raise_unreachable(failures: list[str], meaning: str) -> None:
    if failures:
        raise Unreachable(
            f"The list is changed, but the daemon {failures[0]} {meaning}.",
            f"Restart it: dsttool daemon stop {failures[0]}",
        )
