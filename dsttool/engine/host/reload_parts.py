"""What of an array's or an export's configuration can be taken up while it serves. See host.reloading.

array    access, listen, [policy], the policies in nodes' addresses applied
         layout, raw, chunk, read_policy, nodes, links             need a restart
         what [keys] in dsttool.toml says of keys of nodes
export   access, listen, security, key                             applied
         device, size, read_only, shared                           need a restart
both     another key in a file that a place names (host.access)   applied
machine  crypto_threads, log_level, [policy]                       applied
         log_format                                                needs a restart
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dsttool.engine.array.array import Array
from dsttool.engine.config import paths
from dsttool.engine.config.address import Address
from dsttool.engine.config.address_rules import AddressRules
from dsttool.engine.config.array_file import ArrayConfig, load_array
from dsttool.engine.config.export_file import ExportConfig, load_export
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.machine_file import MachineConfig, load_machine
from dsttool.engine.config.options import POLICY_KEYS, Value
from dsttool.engine.host import logs
from dsttool.engine.host.access import Access
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.listening import Place
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.host.reloading import Comparison
from dsttool.engine.host.tuning import THREADS_VARIABLE
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits

if TYPE_CHECKING:
    from dsttool.engine.host.run_export import ExportPlan

# Stronger than the configuration, too: it is an option of its own (dsttool.cli.running).
FORMAT_VARIABLE: Final = "DSTTOOL_LOG_FORMAT"
Places = Mapping[Listen, Place]
_FIXED_OF_ARRAY: Final = ("layout", "raw", "chunk", "read_policy")
_FIXED_OF_EXPORT: Final = ("device", "size", "read_only", "shared")
# What says together where an export is listened for.
_PLACES_OF_EXPORT: Final = ("listen", "security", "key")


class ArrayPart:
    """One array: what it was brought up with, and what its file says now."""

    def __init__(
        self, plan: ArrayPlan, array: Array, policies: Sequence[MemberPolicy], access: Access
    ) -> None:
        self._plan = plan
        self._array = array
        self._policies = policies
        self._access = access
        self._config = plan.config
        # Relative paths are taken from here; a daemon leaves it.
        self._folder = Path.cwd()
        # An array that was described on a command line has no file, even if there is one of its name by now.
        self._configured = plan.name in paths.array_names()
        self._places: Places = {}
        # Nodes read the file of a key when they are opened, and never again.
        self._named_keys = load_machine().keys

    def look_up(self) -> None:
        """See Part."""
        self._places = self._access.prepare(self._listens(self._load()), None)

    def read(self) -> tuple[ArrayConfig, MachineConfig]:
        """See Part."""
        return self._load(), load_machine()

    def compare(self, found: tuple[ArrayConfig, MachineConfig], comparison: Comparison) -> None:
        """See Part."""
        (config, machine), before, name = found, self._config, self._plan.name
        for key in _FIXED_OF_ARRAY:
            comparison.fixed(name, key, getattr(before, key), getattr(config, key))
        nodes = [[str(_without_policy(node)) for node in each.nodes] for each in (before, config)]
        comparison.fixed(name, "nodes", *nodes)
        listens = self._listens(before), self._listens(config)
        if _compare_listens(name, *listens, self._access, comparison):
            comparison.attempt = lambda: self._access.move(listens[1], None, self._places)
            comparison.acts.append(lambda: self._take_listens(config))
        if self._plan.access is None:
            rules = _texts(before.access.rules), _texts(config.access.rules)
            comparison.live(name, "access", *rules, lambda: self._take_access(config.access))
        if nodes[0] == nodes[1]:
            for slot, node in enumerate(config.nodes):
                self._compare_policy(slot, machine.policy, config.policy, node.options, comparison)
                self._compare_key(slot, str(node.options.get("key", "")), machine, comparison)

    def _compare_key(self, slot: int, key: str, machine: MachineConfig, comparison: Comparison) -> None:
        """The file that a name of a key stands for."""
        before, after = self._named_keys.get(key), machine.keys.get(key)
        if before or after:
            label = self._policies[slot].label
            comparison.fixed(label, f"keys.{key}", before or "none", after or "none")

    def _compare_policy(
        self,
        slot: int,
        machine: Mapping[str, Value],
        array: Mapping[str, Value],
        address: Mapping[str, Value],
        comparison: Comparison,
    ) -> None:
        policy = self._policies[slot]
        if not policy.has_link:
            return
        live, fixed = policy.reconfigured(machine, array, address)
        for key, before, after in live:
            comparison.live(policy.label, f"policy.{key}", before, after, _nothing)
        for key, before, after in fixed:
            comparison.fixed(policy.label, f"policy.{key}", before, after)
        if len(live) + len(fixed) < len(POLICY_KEYS):
            comparison.unchanged.append(f"{policy.label}: policy")
        if live:
            comparison.acts.append(lambda: self._take_policy(slot, machine, array, address))

    def _take_access(self, rules: AddressRules) -> None:
        self._config = replace(self._config, access=rules)
        self._access.gate.set_rules(self._plan.name, rules)

    def _load(self) -> ArrayConfig:
        return load_array(self._plan.name) if self._configured else self._config

    def _listens(self, config: ArrayConfig) -> list[Listen]:
        """What that configuration and the command line say."""
        spelled = self._plan.listens[len(self._plan.config.listen) :]
        return [listen.absolute(self._folder) for listen in (*config.listen, *spelled)]

    def _take_listens(self, config: ArrayConfig) -> None:
        self._config = replace(self._config, listen=config.listen)

    def _take_policy(
        self,
        slot: int,
        machine: Mapping[str, Value],
        array: Mapping[str, Value],
        address: Mapping[str, Value],
    ) -> None:
        policy = self._policies[slot]
        policy.reconfigure(machine, array, address)
        node = self._array.members[slot].node
        if isinstance(node, DstNode | NbdNode):
            node.set_policy(policy.policy)
        self._array.changed()


class ExportPart:
    """The configured ones among the exports of a daemon."""

    def __init__(self, plan: "ExportPlan", access: Access) -> None:
        self._plan = plan
        self._access = access
        # Relative paths are taken from here; a daemon leaves it.
        self._folder = Path.cwd()
        self._configs: dict[str, ExportConfig] = {
            each.name: each.configured for each in plan.offered if each.configured is not None
        }
        self._places: Places = {}

    def look_up(self) -> None:
        """See Part."""
        if self._is_placed:
            self._places = self._access.prepare(*self._placed(self.read()))

    def read(self) -> dict[str, ExportConfig]:
        """See Part."""
        return {name: load_export(config.name) for name, config in self._configs.items()}

    def compare(self, configs: dict[str, ExportConfig], comparison: Comparison) -> None:
        """See Part."""
        spelled = self._plan.spelled
        if self._is_placed:
            self._compare_places(configs, comparison)
        for name, config in configs.items():
            before = self._configs[name]
            for key in _FIXED_OF_EXPORT:
                if key not in spelled:
                    comparison.fixed(name, key, _plain(getattr(before, key)), _plain(getattr(config, key)))
            if "access" not in spelled:
                rules = _texts(before.access.rules), _texts(config.access.rules)
                comparison.live(name, "access", *rules, self._taking(name, config.access))

    def _taking(self, name: str, rules: AddressRules) -> Callable[[], None]:
        def take() -> None:
            self._configs[name] = replace(self._configs[name], access=rules)
            self._access.gate.set_rules(name, rules)

        return take

    @property
    def _is_placed(self) -> bool:
        """Whether it is the configuration that says where to listen."""
        return bool(self._configs) and "listen" not in self._plan.spelled

    def _placed(self, configs: Mapping[str, ExportConfig]) -> tuple[tuple[Listen, ...], Listen | None]:
        listens, default = self._plan.placed([*configs.values()], self._folder)
        return listens, None if listens else default

    def _compare_places(self, configs: Mapping[str, ExportConfig], comparison: Comparison) -> None:
        before, after = self._placed(self._configs), self._placed(configs)
        for name, config in configs.items():
            known = self._configs[name]
            for key in _PLACES_OF_EXPORT:
                if key not in self._plan.spelled and key != "listen":
                    comparison.live(name, key, getattr(known, key), getattr(config, key), _nothing)
            _compare_listens(name, known.listen, config.listen, self._access, comparison)
        if before != after:
            comparison.attempt = lambda: self._access.move(*after, self._places)
            comparison.acts.append(lambda: self._take_places(configs))

    def _take_places(self, configs: Mapping[str, ExportConfig]) -> None:
        for name, config in configs.items():
            words = {key: getattr(config, key) for key in _PLACES_OF_EXPORT}
            self._configs[name] = replace(self._configs[name], **words)


class MachinePart:
    """What dsttool.toml says of the daemon itself."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._config = load_machine()
        # Another one than the configuration's was spelled: the command line is stronger.
        self._form_is_configured = (
            FORMAT_VARIABLE not in os.environ and logs.form() == self._config.log_format
        )
        self._form = self._config.log_format
        logs.configure(self._config.log_level)

    def look_up(self) -> None:
        """See Part: nothing takes long."""

    def read(self) -> MachineConfig:
        """See Part."""
        return load_machine()

    def compare(self, found: MachineConfig, comparison: Comparison) -> None:
        """See Part."""
        before = self._config
        if THREADS_VARIABLE not in os.environ:
            threads = (before.crypto_threads, found.crypto_threads)
            comparison.live("", "crypto_threads", *threads, lambda: self._take_threads(found.crypto_threads))
        if not logs.is_spelled():
            levels = (before.log_level, found.log_level)
            comparison.live("", "log_level", *levels, lambda: logs.configure(found.log_level))
        if self._form_is_configured:
            comparison.fixed("", "log_format", self._form, found.log_format)
        comparison.acts.append(lambda: self._take(found))

    def _take(self, config: MachineConfig) -> None:
        self._config = config

    def _take_threads(self, threads: int | None) -> None:
        self._reactor.resize_crypto(limits.CRYPTO_THREADS if threads is None else threads)


def _without_policy(node: Address) -> Address:
    return replace(
        node, options={key: value for key, value in node.options.items() if key not in POLICY_KEYS}
    )


def _compare_listens(
    name: str, before: Sequence[Listen], after: Sequence[Listen], access: Access, comparison: Comparison
) -> bool:
    """Whether there are other places. Sockets of the service manager's stay as long as the daemon runs."""
    asked = [listen.endpoint for listen in after]
    held = access.listening.lent(listen for listen in before if listen.endpoint not in asked)
    comparison.live(name, "listen", _texts(before), _texts([*after, *held]), _nothing)
    if held:
        comparison.fixed(name, "listen", _texts(held), "none")
    return list(before) != list(after)


def _texts(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return _texts(value)
    return str(value) if isinstance(value, Address) else value


def _nothing() -> None:
    """One act takes up all changes of a member's policy."""
