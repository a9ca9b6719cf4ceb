"""Checks of `doctor` that concern the system: programs, limits, the kernel, clocks, the service manager."""

import ctypes
import json
import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import dsttool
from dsttool.cli.doctor_checks import Patient, failed, ok, unknown, warning
from dsttool.engine.config.units import format_duration
from dsttool.engine.control import gathering, messages
from dsttool.engine.control.place import Place
from dsttool.engine.vocabulary.checkup import Finding
from dsttool.engine.vocabulary.errors import DsttoolError, ProtocolError
from dsttool.engine.vocabulary.limits import CLIENTS_MAX, MS

# A daemon with fewer descriptors cannot even hold its sockets, threads and a few clients.
_DESCRIPTORS_LEAST: Final = 128
_COMMAND_SECONDS: Final = 5.0
# TIME_ERROR of adjtimex(2): the kernel does not know that its clock is right.
_TIME_ERROR: Final = 5
# struct timex has 208 bytes where Linux runs today; the call writes no more than the kernel's.
_TIMEX_BYTES: Final = 512
# Invitations expire and logs are compared by clocks; nothing else here depends on them.
_SKEW_MAX_NS: Final = 500 * MS


def versions(_: Patient) -> Iterator[Finding]:
    """dsttool and Python."""
    system = f"{platform.system()} {platform.release()}"
    yield ok("version.dsttool", f"dsttool {dsttool.__version__} from {Path(dsttool.__file__).parent}")
    yield ok("version.python", f"Python {platform.python_version()} on {system}")


def ciphers(_: Patient) -> Iterator[Finding]:
    """What seals links: the library, each cipher tried, and whether the processor helps."""
    check = "library.ciphers"
    try:
        import cryptography
        from cryptography.hazmat.backends.openssl.backend import backend
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

        for cipher in (AESGCM, ChaCha20Poly1305):
            sealed = cipher(bytes(32)).encrypt(bytes(12), b"x", None)
            cipher(bytes(32)).decrypt(bytes(12), sealed, None)
        X25519PrivateKey.from_private_bytes(bytes([8] * 32)).public_key()
        version, openssl = cryptography.__version__, backend.openssl_version_text()
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything, and that is the finding
        says = f"Links cannot be sealed: {type(error).__name__}: {error}."
        yield failed(check, says, "Install it again: pip install --force-reinstall cryptography")
        return
    yield ok(check, f"cryptography {version} with {openssl}: AES-256-GCM, ChaCha20-Poly1305, X25519")
    yield from _processor(Path("/proc/cpuinfo"))


def _processor(cpuinfo: Path) -> Iterator[Finding]:
    """Whether AES is done by the processor."""
    try:
        words = set(cpuinfo.read_text().split())
    except OSError:
        return
    if words.isdisjoint({"aes", "vaes"}):
        yield warning(
            "processor.aes",
            "This processor has no instructions for AES, and aes256gcm is slow on it.",
            "Use security=chacha20poly1305 on both ends.",
        )


def file_limits(_: Patient) -> Iterator[Finding]:
    """How many descriptors a daemon may have: one or two for each client and node."""
    check = "limits.files"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= 4 * CLIENTS_MAX:
        raised = f"; daemons raise their {_number(soft)} to that" if soft != hard else ""
        yield ok(check, f"A process may have {_number(hard)} files open{raised}.")
        return
    says = f"A process may have {hard} files open."
    advice = "Raise it: ulimit -Hn, LimitNOFILE= of the unit, or /etc/security/limits.conf."
    if hard < _DESCRIPTORS_LEAST:
        yield failed(check, f"{says} That is not even enough for a few clients.", advice)
    else:
        yield warning(check, f"{says} A daemon may refuse clients beyond about {hard // 2}.", advice)


def _number(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)


def kernel_nbd(_: Patient) -> Iterator[Finding]:
    """Whether nbd-client can make a /dev/nbdN of an export."""
    yield from nbd_below(Path("/"), platform.release())


def nbd_below(root: Path, release: str) -> Iterator[Finding]:
    """As `kernel_nbd`, of a system whose files begin at `root`."""
    check, device = "kernel.nbd", root / "dev/nbd0"
    if (root / "sys/module/nbd").exists():
        if not device.exists():
            yield warning(
                check, f"The module nbd is loaded, and there is no {device}.", "Run udevadm trigger."
            )
        elif os.access(device, os.R_OK | os.W_OK):
            yield ok(check, f"The module nbd is loaded, and {device} may be used.")
        else:
            yield warning(
                check,
                f"The module nbd is loaded, and {device} is for others.",
                "Run nbd-client as root, or add yourself to the group of the device (disk).",
            )
        return
    modules = root / "lib/modules" / release
    if not modules.exists():
        yield unknown(
            check,
            f"nbd is not loaded, and {modules} is not there to look for it.",
            "Only nbd-client needs it.",
        )
        return
    listed = [modules / "modules.dep", modules / "modules.builtin"]
    if any("/nbd.ko" in file.read_text() for file in listed if file.exists()):
        yield ok(
            check, "The kernel's module nbd is there, and not loaded.", advice="For nbd-client: modprobe nbd"
        )
    else:
        yield warning(
            check,
            f"The kernel {release} has no nbd.",
            "Only nbd-client needs it; install the kernel's extra modules, or use programs that speak NBD.",
        )


def local_clock(_: Patient) -> Iterator[Finding]:
    """Whether this machine's clock follows a time server, as the kernel was told."""
    check = "clock.local"
    state = _adjtimex()
    if state is None:
        yield unknown(check, "This system does not say whether its clock is right.")
    elif state == _TIME_ERROR:
        yield warning(
            check,
            "This machine's clock is not synchronised.",
            "Start chrony, ntpd or systemd-timesyncd: invitations end, and logs are compared, by the clock.",
        )
    else:
        yield ok(check, "This machine's clock is synchronised.")


def _adjtimex() -> int | None:
    """The state of the kernel's clock, None where there is none to ask for."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state: int = call(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state


def other_machine(place: Place, timeout: float) -> Iterator[Finding]:
    """Whether another machine can be asked, its daemons' releases, and its clock."""
    try:
        daemons = gathering.gather(place, timeout)["daemons"]
    except DsttoolError as error:
        yield failed("host", error.what, error.advice, place.name)
        return
    yield ok("host", f"It can be asked, and runs {len(daemons) or 'no'} daemons.", place.name)
    for each in daemons:
        subject = f"{place.name}/{each['name']}"
        if each["version"] not in (None, dsttool.__version__):
            says = f"It is dsttool {each['version']}, and this is {dsttool.__version__}."
            yield warning("daemon", says, "Restart it there when that is possible.", subject)
    yield from clock_of(place, time.time_ns, timeout)


def clock_of(place: Place, now: Callable[[], int], timeout: float) -> Iterator[Finding]:
    """How far the clock of another machine is from ours, as one of its daemons tells."""
    check = "clock.remote"
    names = place.daemons()
    if not names:
        yield unknown(check, "No daemon runs there that could tell the time.", subject=place.name)
        return
    before = now()
    theirs = _time_of(place, names[0], timeout)
    after = now()
    # Anywhere within the round trip.
    skew = max(0, abs(theirs - (before + after) // 2) - (after - before) // 2)
    if skew > _SKEW_MAX_NS:
        apart = format_duration(skew // MS * MS)
        yield warning(
            check,
            f"The clocks are {apart} apart.",
            "Have both follow a time server: invitations end, and logs are compared, by the clock.",
            place.name,
        )
    else:
        yield ok(check, "The clocks agree.", place.name)


def _time_of(place: Place, daemon: str, timeout: float) -> int:
    """What a daemon's clock says, in ns of Unix time: the first thing it tells those who watch it."""
    with closing(place.open(daemon, timeout)) as stream:
        stream.settimeout(timeout)
        stream.sendall(messages.pack_command("watch", {}))
        with stream.makefile("rb") as lines:
            frame = json.loads(lines.readline(messages.ANSWER_BYTES_MAX))
    theirs = frame.get("time_ns") if isinstance(frame, dict) else None
    if not isinstance(theirs, int):
        raise ProtocolError(f"The daemon {daemon} on {place.name} does not tell the time.", "Restart it.")
    return theirs


def units(_: Patient) -> Iterator[Finding]:
    """What systemd says of the units that run dsttool; nothing where there is none."""
    yield from units_of(Path("/run/systemd/system"))


def units_of(running: Path) -> Iterator[Finding]:
    """As `units`, where this folder tells whether systemd runs."""
    check = "systemd.units"
    command = shutil.which("systemctl")
    if command is None or not running.exists():
        return
    words = ["list-units", "dsttool*", "--all", "--output=json", "--no-pager"]
    scope = [] if os.geteuid() == 0 else ["--user"]
    try:
        done = subprocess.run(
            [command, *scope, *words], capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True
        )
        listed = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield unknown(check, f"systemd does not answer: {error}.", "See: systemctl status 'dsttool*'")
        return
    for each in listed:
        name, active = str(each.get("unit", "")), str(each.get("active", ""))
        if active == "failed":
            yield failed(check, "The unit has failed.", f"See why: journalctl -u {name}", name)
        else:
            yield ok(check, f"The unit is {active}.", name)


def not_checked(check: str, error: Exception) -> Finding:
    """A check that could not be made."""
    if isinstance(error, DsttoolError):
        return unknown(check, f"It cannot be checked: {error.what}", error.advice)
    return unknown(check, f"It cannot be checked: {error}.")
