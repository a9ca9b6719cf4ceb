"""NbdNode inside TLS against nbdkit: whom it believes, what it refuses, and that it works as in the clear."""

import random
import signal
from pathlib import Path

import pytest

from dsttool.engine.config import certificates
from dsttool.engine.config.address import parse_address
from dsttool.engine.node.nbd_handshake import list_exports
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import Transaction
from dsttool.engine.transport.tls import Tls
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, NotFound, Unreachable
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import FLUSH, FUA, TRIM
from support.certificates import PAST, Authority
from support.nbd_servers import Host, Servers, ask, content, read, write
from support.raw_nbd_server import OPT_ABORT, OPT_STARTTLS, RawServer

HOST = "disk.example"
WAIT = 30 * SECOND
QUICK = Policy(backoff_min_ns=MS, backoff_max_ns=20 * MS)
# A server that hangs is given up after 200 ms.
RESTLESS = Policy(resend_timeout_ns=200 * MS, resends=1000, backoff_min_ns=MS, backoff_max_ns=2 * MS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", HOST)


def believing(folder: Path, name: str = HOST) -> Tls:
    """As an address has it."""
    address = parse_address(f"nbds+unix:///?socket=s&tls-certificates={folder}&tls-hostname={name}")
    return Tls(lambda: certificates.client_context(address), certificates.server_name(address))


def required(authority: Authority, *words: str) -> list[str]:
    """nbdkit's words for a server that insists on TLS."""
    return ["--tls=require", f"--tls-certificates={authority.folder}", *words]


def refusal(host: Host, endpoint: Endpoint, tls: Tls | None) -> DsttoolError:
    node = host.attempt(endpoint, tls=tls)
    assert node.failure is not None
    return node.failure


# -- Data


def test_random_requests_leave_what_a_plain_buffer_holds(
    servers: Servers, host: Host, authority: Authority
) -> None:
    size = 8 * MIB
    expected = bytearray(size)
    disk = servers.file(bytes(size))
    node = host.node(servers.nbdkit(*required(authority, "file", str(disk))), tls=believing(authority.folder))
    chosen = random.Random(7)
    for _ in range(40):
        batch = []
        for start in chosen.sample(range(0, size, MIB), 4):
            length = chosen.choice([1, 511, 4096, 16 * KIB, 70_001, 700_000])
            data = chosen.randbytes(length)
            offset = start + chosen.randrange(MIB - length)
            expected[offset : offset + length] = data
            batch.append(write(offset, data, chosen.choice([0, 0, FUA])))
        assert host.run(node, *batch) == [0] * 4
    asked = [read(offset, MIB) for offset in range(0, size, MIB)]
    assert host.run(node, *asked, ask(FLUSH)) == [0] * 9
    assert b"".join(map(content, asked)) == bytes(expected)
    assert disk.read_bytes() == bytes(expected)


def test_the_largest_request_goes_both_ways(servers: Servers, host: Host, authority: Authority) -> None:
    node = host.node(servers.nbdkit(*required(authority, "memory", "64M")), tls=believing(authority.folder))
    data = random.Random(3).randbytes(32 * MIB)
    assert host.run(node, write(5, data)) == [0]
    back = read(5, len(data))
    assert host.run(node, back) == [0]
    assert content(back) == data
    assert host.run(node, ask(TRIM, 0, 4096), ask(FLUSH)) == [0, 0]
    assert node.status()["link"]["security"] == "tls"
    assert node.structured


def test_exports_are_listed_inside_tls(servers: Servers, host: Host, authority: Authority) -> None:
    endpoint = servers.nbdkit(*required(authority, "memory", "1M"))
    answers: list[tuple[list[tuple[str, str]], DsttoolError | None]] = []
    list_exports(
        host.reactor,
        endpoint,
        lambda listed, error: answers.append((listed, error)),
        tls=believing(authority.folder),
    )
    host.until(lambda: bool(answers))
    assert answers == [([("", "")], None)]


# -- Who is believed


def test_a_server_of_another_authority_is_refused(
    servers: Servers, host: Host, authority: Authority, tmp_path: Path
) -> None:
    endpoint = servers.nbdkit(*required(authority, "memory", "1M"))
    other = Authority(tmp_path / "other", HOST)
    error = refusal(host, endpoint, believing(other.folder))
    assert isinstance(error, Forbidden)
    assert "certificate is not to be trusted: unable to get local issuer" in error.what


def test_a_server_with_the_certificate_of_another_host_is_refused(
    servers: Servers, host: Host, authority: Authority
) -> None:
    endpoint = servers.nbdkit(*required(authority, "memory", "1M"))
    error = refusal(host, endpoint, believing(authority.folder, "other.example"))
    assert isinstance(error, Forbidden)
    assert "not valid for 'other.example'" in error.what


def test_a_server_whose_certificate_has_expired_is_refused(
    servers: Servers, host: Host, tmp_path: Path
) -> None:
    old = Authority(tmp_path / "old", HOST, until=PAST)
    error = refusal(host, servers.nbdkit(*required(old, "memory", "1M")), believing(old.folder))
    assert "certificate has expired" in error.what


def test_a_server_that_knows_its_clients_lets_this_one_in(
    servers: Servers, host: Host, authority: Authority
) -> None:
    endpoint = servers.nbdkit(*required(authority, "--tls-verify-peer", "memory", "1M"))
    node = host.node(endpoint, tls=believing(authority.folder))
    assert host.run(node, write(0, b"known")) == [0]


def test_a_server_that_wants_to_know_its_clients_is_explained(
    servers: Servers, host: Host, authority: Authority
) -> None:
    endpoint = servers.nbdkit(*required(authority, "--tls-verify-peer", "memory", "1M"))
    (authority.folder / "client-cert.pem").unlink()
    error = refusal(host, endpoint, believing(authority.folder))
    assert isinstance(error, Unreachable)
    assert "put client-cert.pem and client-key.pem into the folder" in error.advice


def test_certificates_that_are_not_there_are_told(servers: Servers, host: Host, tmp_path: Path) -> None:
    error = refusal(host, servers.nbdkit("memory", "1M"), believing(tmp_path / "none"))
    assert isinstance(error, NotFound)


# -- No way down


@pytest.mark.parametrize("words", [(), ("--tls=off",)])
def test_a_server_without_tls_is_refused_and_told_nothing(
    servers: Servers, host: Host, authority: Authority, words: tuple[str, ...]
) -> None:
    error = refusal(host, servers.nbdkit(*words, "memory", "1M"), believing(authority.folder))
    assert isinstance(error, Forbidden)
    assert "The server refuses TLS" in error.what


def test_a_client_without_tls_is_told_how_to_ask_for_it(
    servers: Servers, host: Host, authority: Authority
) -> None:
    error = refusal(host, servers.nbdkit(*required(authority, "memory", "1M")), None)
    assert "wants TLS" in error.what
    assert "nbds://" in error.advice


def test_a_server_without_tls_never_hears_of_the_export(host: Host, authority: Authority) -> None:
    server = RawServer()
    try:
        node = host.attempt(server.endpoint, tls=believing(authority.folder))
    finally:
        server.close()  # once it has taken all that was sent
    assert "refuses TLS" in str(node.failure)
    assert server.options == [OPT_STARTTLS, OPT_ABORT]


# -- What happens to connections


def restart(servers: Servers, endpoint: Endpoint, words: list[str]) -> None:
    """Kill -9, and start again at the same place."""
    servers.processes[-1].kill()
    servers.processes[-1].wait()
    Path(endpoint.path).unlink()
    servers.start(Path(endpoint.path).name, ["nbdkit", "-f", "-U", endpoint.path, *words])


def test_a_server_killed_and_restarted_is_reached_again(
    servers: Servers, host: Host, authority: Authority
) -> None:
    words = required(authority, "file", str(servers.file(bytes(MIB))))
    endpoint = servers.nbdkit(*words)
    node = host.node(endpoint, tls=believing(authority.folder), policy=QUICK)
    verifier = node.verifier
    assert host.run(node, write(0, b"before")) == [0]
    restart(servers, endpoint, words)
    again, back = write(6, b"after"), read(0, 6)
    assert host.run(node, again, back) == [0, 0]
    assert content(back) == b"before"
    assert node.verifier != verifier
    assert node.status()["link"]["connects"] == 2


@pytest.mark.parametrize("change", ["no TLS", "another authority"])
def test_a_server_that_comes_back_as_somebody_else_gets_nothing(
    servers: Servers, host: Host, authority: Authority, tmp_path: Path, change: str
) -> None:
    own, strange = tmp_path / "own", tmp_path / "strange"
    for path in (own, strange):
        path.write_bytes(bytes(MIB))
    endpoint = servers.nbdkit(*required(authority, "file", str(own)))
    node = host.node(endpoint, tls=believing(authority.folder), policy=QUICK)
    tls = required(Authority(tmp_path / "stranger", HOST)) if change != "no TLS" else []
    restart(servers, endpoint, [*tls, "file", str(strange)])
    asked = write(0, b"secret")
    node.submit([asked])
    reason = "refuses TLS" if change == "no TLS" else "not to be trusted"
    host.until(lambda: reason in node.story.reason)
    restart(servers, endpoint, required(authority, "file", str(own)))
    host.wait(asked)
    assert asked.error == 0
    assert own.read_bytes()[:6] == b"secret"
    assert strange.read_bytes() == bytes(MIB)


def test_renewed_certificates_are_used_from_the_next_connection_on(
    servers: Servers, host: Host, authority: Authority, tmp_path: Path
) -> None:
    words = ["file", str(servers.file(bytes(MIB)))]
    endpoint = servers.nbdkit(*required(authority, *words))
    node = host.node(endpoint, tls=believing(authority.folder), policy=QUICK)
    renewed = Authority(tmp_path / "renewed", HOST)
    for path in renewed.folder.iterdir():
        path.replace(authority.folder / path.name)
    restart(servers, endpoint, required(authority, *words))
    assert host.run(node, write(0, b"again")) == [0]


def test_a_server_that_hung_still_answers_on_the_connection_given_up(
    servers: Servers, host: Host, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = host.node(
        servers.nbdkit(*required(authority, "memory", "1M")), tls=believing(authority.folder), policy=RESTLESS
    )
    late: list[Transaction] = []
    monkeypatch.setattr(node._link, "ended", lambda _connection, transactions: late.extend(transactions))
    servers.freeze()
    asked = write(0, b"slow")
    node.submit([asked])
    host.until(lambda: bool(node._link.witnesses))
    servers.processes[-1].send_signal(signal.SIGCONT)
    host.until(lambda: bool(late))
    host.wait(asked)
    assert late[0].request is asked
    assert asked.error == 0
