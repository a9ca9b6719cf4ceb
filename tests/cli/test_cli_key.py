"""The commands around keys: what they print, and that it is never a secret."""

import json
import re
from pathlib import Path

from support.site import Site


def secret_in(path: Path) -> str:
    return path.read_text().split()[2]


def test_a_shared_key_is_made_for_its_owner_only(site: Site) -> None:
    done = site.dsttool("key", "generate", "--shared", "k")
    path = site.path("k")
    assert path.read_text().startswith("dsttool-key-v1 shared ")
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret_in(path) not in done.stdout + done.stderr
    assert site.dsttool("key", "generate", "--shared", "k", code=8).stderr.startswith(
        "error: k exists already"
    )


def test_a_shared_key_needs_a_file(site: Site) -> None:
    assert "needs a file" in site.dsttool("key", "generate", "--shared", code=2).stderr


def test_without_a_file_the_identity_of_this_machine_is_made(site: Site) -> None:
    made = site.json("key", "generate")
    path = site.folder / "config/keys/client.key"
    assert made["file"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    shown = site.json("key", "show")
    assert [(key["role"], key["public"]) for key in shown["keys"]] == [("client", made["public"])]


def test_keys_are_shown_without_their_secrets(site: Site) -> None:
    site.dsttool("key", "generate")
    site.dsttool("key", "generate", "p")
    site.dsttool("key", "generate", "--shared", "s")
    for words in ([], ["p"], ["s"]):
        for form in ([], ["--json"], ["-o", "plain"], ["-vv"]):
            done = site.dsttool("key", "show", *words, *form)
            for path in (site.path("p"), site.path("s"), site.folder / "config/keys/client.key"):
                assert secret_in(path) not in done.stdout + done.stderr
    assert re.search(r"\b(\w{5}-){3}\w{5}\b", site.dsttool("key", "show", "s").stdout)


def test_a_key_that_others_can_read_is_refused(site: Site) -> None:
    site.dsttool("key", "generate", "p")
    site.path("p").chmod(0o644)
    assert "Other users have access" in site.dsttool("key", "show", "p", code=5).stderr


def test_a_key_is_authorised_listed_and_revoked(site: Site) -> None:
    public = site.json("key", "generate")["public"]
    site.dsttool(
        "key", "authorize", public, "--export", "a", "--export", "b", "--read-only", "--name", "laptop"
    )
    (listed,) = site.json("key", "list")["keys"]
    assert (listed["name"], listed["public"]) == ("laptop", public)
    assert (listed["read_write"], listed["read_only"]) == ([], ["a", "b"])
    assert "a read-only, b read-only" in site.dsttool("key", "list").stdout
    assert "laptop is not authorised any more" in site.dsttool("key", "revoke", "laptop").stdout
    assert site.json("key", "list")["keys"] == []
    assert "No authorised key" in site.dsttool("key", "revoke", "laptop", code=3).stderr


def test_a_mistyped_key_is_not_authorised(site: Site) -> None:
    public = site.json("key", "generate")["public"]
    assert "mistyped" in site.dsttool("key", "authorize", public[:-1], code=2).stderr
    assert json.loads(site.dsttool("key", "list", "--json").stdout)["keys"] == []
