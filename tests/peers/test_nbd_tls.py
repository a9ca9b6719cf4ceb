"""nbdkit that insists on TLS as an array's node, over TCP, with certificates as people have them."""

import shutil
import time

import pytest

from peers.test_nbd_nodes import wait_connects
from support import fio
from support.certificates import Authority
from support.ports import free_port
from support.site import Daemon, Site, wait_until

SIZE = 32 << 20


@pytest.fixture
def authority(site: Site) -> Authority:
    return Authority(site.path("pki"), "localhost", "127.0.0.1", "disk.example")


def nbdkit(site: Site, authority: Authority, name: str, *words: object) -> Daemon:
    """Serve with nbdkit, inside TLS only, on NAME.nbd."""
    socket = site.path(f"{name}.nbd")
    socket.unlink(missing_ok=True)
    tls = ("--tls=require", f"--tls-certificates={authority.folder}", "--tls-verify-peer")
    return site.start("nbdkit", "--foreground", "--unix", socket, *tls, *words, ready=socket)


def nbds(site: Site, authority: Authority, name: str) -> str:
    return f"nbds+unix:///?socket={site.path(name + '.nbd')}&tls-certificates={authority.folder}"


def over_tcp(site: Site, authority: Authority) -> int:
    """The port on loopback where nbdkit serves inside TLS."""
    port = free_port()
    tls = ("--tls=require", f"--tls-certificates={authority.folder}")
    daemon = Daemon(
        ["nbdkit", "--foreground", "--ip-addr=127.0.0.1", f"--port={port}", *tls, "memory", str(SIZE)],
        site.env,
        site.path("tcp.log"),
    )
    site.daemons.append(daemon)
    certificates = f"tls-certificates={authority.folder}"
    wait_until(
        lambda: site.dsttool("info", f"nbds://127.0.0.1:{port}?{certificates}", code=None).returncode == 0,
        f"{daemon} serves",
    )
    return port


def test_an_array_over_servers_inside_tls_holds_what_fio_wrote(site: Site, authority: Authority) -> None:
    nbdkit(site, authority, "a", "memory", SIZE)
    nbdkit(site, authority, "b", "file", site.file("b.img", SIZE))
    site.array("pool", "stripe", nbds(site, authority, "a"), nbds(site, authority, "b"))

    fio.verify(site, site.nbd("pool"), 24 << 20)

    (found,) = site.json("status", "pool")["arrays"]
    assert [member["link"]["security"] for member in found["members"]] == ["tls"] * 2
    assert "up (tls)" in site.dsttool("status", "pool").stdout


@pytest.mark.parametrize("layout", ["linear", "mirror"])
def test_a_server_killed_and_restarted_under_load_costs_nothing(
    site: Site, authority: Authority, layout: str
) -> None:
    image = site.file("a.img", SIZE)
    server = nbdkit(site, authority, "a", "file", image)
    nbdkit(site, authority, "b", "file", site.file("b.img", SIZE))
    slow = "resend_timeout=30s&backoff_min=20ms&backoff_max=100ms"
    assumed = ["--assume-clean"] if layout == "mirror" else []
    site.array("pool", layout, *(f"{nbds(site, authority, name)}&{slow}" for name in "ab"), *assumed)
    load = fio.Load(site, site.nbd("pool"), 24 << 20, "12m")

    for connects in (1, 2, 3):
        before = fio.allocated(image)
        wait_until(lambda: fio.allocated(image) > before or not load.running, "the load writes")  # noqa: B023
        wait_connects(site, connects)
        server.kill()
        time.sleep(0.1)
        server = nbdkit(site, authority, "a", "file", image)
    load.finish()

    wait_connects(site, 4)
    (found,) = site.json("status", "pool")["arrays"]
    assert [member["state"] for member in found["members"]] == ["in_sync"] * 2
    assert found["errors"] == 0


def test_cp_copies_into_a_server_inside_tls_and_back(site: Site, authority: Authority) -> None:
    image = site.file("b.img", SIZE)
    nbdkit(site, authority, "b", "file", image)
    source, back = site.file("from.img", SIZE, bytes(range(256)) * 9999), site.path("back.img")

    site.dsttool("cp", source, nbds(site, authority, "b"))
    site.dsttool("cp", nbds(site, authority, "b"), back)

    assert image.read_bytes() == source.read_bytes() == back.read_bytes()
    assert "non-properly terminated" not in site.daemons[0].output


def test_info_says_that_nobody_on_the_way_can_read_the_data(site: Site, authority: Authority) -> None:
    nbdkit(site, authority, "a", "memory", SIZE)

    found = site.json("info", nbds(site, authority, "a"))

    assert (found["kind"], found["security"], found["size_bytes"]) == ("nbd", "tls", SIZE)
    assert [each["holds"] for each in found["guarantees"] if each["name"] == "private"] == [True]


def test_over_tcp_the_certificate_must_be_for_the_host_of_the_address(
    site: Site, authority: Authority
) -> None:
    port = over_tcp(site, authority)
    certificates = f"tls-certificates={authority.folder}"
    private = site.json("info", f"nbds://localhost:{port}?{certificates}")["guarantees"]
    assert [each["holds"] for each in private if each["name"] == "private"] == [True]
    site.dsttool("info", f"nbds://127.0.0.1:{port}?{certificates}&tls-hostname=disk.example")

    refused = site.dsttool("info", f"nbds://127.0.0.2:{port}?{certificates}", code=None)
    assert refused.returncode == 4  # nobody is there
    refused = site.dsttool("info", f"nbds://127.0.0.1:{port}?{certificates}&tls-hostname=other", code=5)
    assert "certificate is not valid for 'other'" in refused.stderr


def test_without_a_folder_the_system_says_whom_to_believe(site: Site, authority: Authority) -> None:
    port = over_tcp(site, authority)
    site.env["SSL_CERT_FILE"] = str(Authority(site.path("others"), "localhost").folder / "ca-cert.pem")
    unknown = site.dsttool("info", f"nbds://127.0.0.1:{port}", code=5)
    assert "not to be trusted" in unknown.stderr

    site.env["SSL_CERT_FILE"] = str(authority.folder / "ca-cert.pem")
    assert site.json("info", f"nbds://127.0.0.1:{port}")["security"] == "tls"


def test_a_key_that_others_can_read_keeps_the_array_from_starting(site: Site, authority: Authority) -> None:
    nbdkit(site, authority, "a", "memory", SIZE)
    own = site.path("own")
    shutil.copytree(authority.folder, own)
    (own / "client-key.pem").chmod(0o644)
    node = f"nbds+unix:///?socket={site.path('a.nbd')}&tls-certificates={own}"

    refused = site.dsttool(
        *("array", "up", "pool", "--layout", "linear", "--raw", node, "--foreground"), code=5
    )

    assert "Other users have access to" in refused.stderr
    assert "chmod 600" in refused.stderr


def test_an_array_keeps_the_folder_of_its_certificates(site: Site, authority: Authority) -> None:
    nbdkit(site, authority, "a", "memory", SIZE)
    address = f"nbds+unix:///?socket={site.path('a.nbd')}&tls-certificates=pki"
    site.dsttool("array", "create", "pool", "--layout", "linear", "--raw", address)
    site.dsttool("array", "up", "pool")

    (found,) = site.json("status", "pool")["arrays"]
    site.dsttool("array", "down", "pool")

    assert found["members"][0]["link"]["security"] == "tls"
