"""An export daemon: devices under names, offered to clients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsttool.engine.config import paths
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.address_rules import EVERYBODY, AddressRules
from dsttool.engine.config.export_file import ExportConfig, load_export
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.names import check_name, is_name
from dsttool.engine.control.lock import NameLock
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.access import DEFAULT_LISTEN, AccessPlan
from dsttool.engine.host.commands import for_exports
from dsttool.engine.host.daemon import Ready, spare_from_signals
from dsttool.engine.host.engine import Engine
from dsttool.engine.host.events import Events
from dsttool.engine.host.listening import check_listens
from dsttool.engine.host.offers import offer_of
from dsttool.engine.host.open_node import Opening, open_all, reachable
from dsttool.engine.host.reload_parts import ExportPart
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError


@dataclass(frozen=True, slots=True)
class Offered:
    """One device to offer. size: of a file to create, in bytes. access: rules for addresses. shared: for
    several writers at a time. configured: what the configuration says of it, None for one without.
    """

    name: str
    device: Address
    size: int | None = None
    read_only: bool = False
    access: AddressRules = EVERYBODY
    shared: bool = False
    configured: ExportConfig | None = None


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export daemon is to do; the first name is the daemon's.

    listens: places beside the sockets in the runtime folder; with none, the default one. invite_ns: how
    long an invitation to each export is to hold, None for no invitation. spelled: keys of the configuration
    that the command line says, too, and with more weight. security, key: as the command line says them.
    """

    offered: tuple[Offered, ...]
    listens: tuple[Listen, ...]
    default: Listen = DEFAULT_LISTEN
    invite_ns: int | None = None
    spelled: frozenset[str] = frozenset()
    security: str = ""
    key: str = ""

    @property
    def names(self) -> list[str]:
        """Names to serve, the daemon's first."""
        return [each.name for each in self.offered]

    @property
    def access(self) -> AccessPlan:
        """Who may come in."""
        rules = {each.name: each.access for each in self.offered}
        return AccessPlan(rules, None if self.listens else self.default, self.invite_ns)

    def placed(self, configs: Sequence[ExportConfig], folder: Path) -> tuple[tuple[Listen, ...], Listen]:
        """Where these configurations want to be listened, and the default place, for if that is nowhere.

        folder: that relative paths are taken from. UsageError if what they say contradicts itself.
        """
        places: list[Listen] = []
        default = DEFAULT_LISTEN.with_security(self.security, self.key)
        for config in configs:
            protected = (self.security or config.security, self.key or config.key)
            default = DEFAULT_LISTEN.with_security(*protected)
            places += [place.with_security(*protected) for place in config.listen]
        return tuple(place.absolute(folder) for place in places), default.absolute(folder)


def plan(
    devices: Sequence[str],
    *,
    names: Sequence[str] = (),
    size: int | None = None,
    read_only: bool = False,
    shared: bool = False,
    listens: Sequence[Listen] = (),
    security: str = "",
    key: str = "",
    access: AddressRules | None = None,
    invite_ns: int | None = None,
) -> ExportPlan:
    """Understand a command line; nothing is opened or created yet.

    security, key: of DST listeners that do not spell their own. access: None for what is configured.

    A DEVICE is the NAME of a configured export, an existing file, or any address. Raises NotFound,
    UsageError, Unsafe.
    """
    if len(names) > len(devices):
        raise UsageError(
            f"There are {len(names)} names for {len(devices)} devices.",
            "Give each device at most one --name.",
        )
    words: dict[str, object] = {"size": size, "read_only": read_only, "shared": shared}
    words |= {"listen": tuple(listens), "security": security, "key": key, "access": access}
    offered: list[Offered] = []
    for index, text in enumerate(devices):
        name = names[index] if index < len(names) else ""
        if is_name(text) and text in paths.export_names():
            config = load_export(text)
            config_size = config.size if size is None else size
            rules = config.access if access is None else access
            offered.append(
                Offered(
                    name or text,
                    config.device,
                    config_size,
                    read_only or config.read_only,
                    rules,
                    shared or config.shared,
                    config,
                )
            )
        else:
            address = _device(text, size)
            rules = access or EVERYBODY
            name = name or _default_name(address)
            offered.append(Offered(name, address, size, read_only, rules, shared))
    chosen = ExportPlan(
        tuple(_checked(each) for each in offered),
        tuple(place.with_security(security, key).absolute(Path.cwd()) for place in listens),
        invite_ns=invite_ns,
        spelled=frozenset(word for word, value in words.items() if value not in (None, "", False, ())),
        security=security,
        key=key,
    )
    if not listens:
        configs = [each.configured for each in chosen.offered if each.configured is not None]
        places, default = chosen.placed(configs, Path.cwd())
        chosen = replace(chosen, listens=places, default=default)
    if len(set(chosen.names)) < len(chosen.names):
        raise UsageError("Two of the exports have the same name.", "Give each its own --name.")
    check_listens(chosen.listens, chosen.names)
    return chosen


def run(
    chosen: ExportPlan,
    lock: NameLock,
    ready: Ready,
    running: Callable[[Engine], None] | None = None,
    *,
    metrics: Endpoint | None = None,
) -> int:
    """Serve until stopped; the exit code. `lock` is of the plan's names; `running` gets the engine before
    it serves. metrics: where Prometheus is answered.
    """
    spare_from_signals()
    reactor = Reactor()
    with Events(reactor, chosen.names) as events:
        return _run(chosen, lock, ready, running, reactor, events, metrics)


def _run(
    chosen: ExportPlan,
    lock: NameLock,
    ready: Ready,
    running: Callable[[Engine], None] | None,
    reactor: Reactor,
    events: Events,
    metrics: Endpoint | None,
) -> int:
    offers = _offers(reactor, chosen)

    def statuses() -> tuple[list[Any], list[Any]]:
        return [], [offer.status() for offer in offers]

    engine = Engine(
        *("export", reactor, lock, offers, events),
        statuses,
        for_exports(reactor, offers),
        access=chosen.access,
        metrics=metrics,
        part=lambda access: ExportPart(chosen, access),
    )
    if running is not None:
        running(engine)
    return engine.serve(chosen.listens, ready)


def _offers(reactor: Reactor, chosen: ExportPlan) -> list[Offer]:
    """Every device opened and offered; raises the first failure."""
    openings = [
        Opening(each.device, read_only=each.read_only, size=each.size, mapped=True) for each in chosen.offered
    ]
    devices = open_all(reactor, openings)
    offers = []
    for each, device in zip(chosen.offered, devices):
        if isinstance(device, NotFound) and each.device.kind == "file":
            raise device.with_advice("Check the path, or create a sparse file there with --size.")
        if isinstance(device, DsttoolError):
            raise device
        offers.append(offer_of(each.name, device, read_only=each.read_only, shared=each.shared))
    return offers


def _device(text: str, size: int | None) -> Address:
    """A DEVICE of the command line: a file may be named without a '/'."""
    if is_name(text) and (Path(text).exists() or size is not None):
        return Address("file", path=f"./{text}")
    address = parse_address(text)
    if address.kind == "name" and not paths.dst_socket(text).exists():
        raise NotFound(
            f"There is no file, no configured export and nothing running that is called {text}.",
            "Check the name, or create a sparse file of that name with --size.",
        )
    return address


def _checked(each: Offered) -> Offered:
    check_name(each.name)
    address = reachable(each.device)
    if each.size is not None and address.kind != "file":
        raise UsageError(f"--size is for files, and {address} is not one.", "Leave it out.")
    if each.size == 0:
        raise UsageError("A file of no bytes cannot be offered.", "Write for example --size 1G.")
    return replace(each, device=address)


def _default_name(address: Address) -> str:
    """A name for a device that was given none."""
    if address.name:
        return address.name
    if address.kind == "file":
        stem = Path(address.path).name.partition(".")[0] or Path(address.path).name
        name = "".join(c if is_name(c) or c in "-." else "_" for c in stem).lstrip("-.")
        return name[:64] or "export"
    return address.export if is_name(address.export) else address.kind
