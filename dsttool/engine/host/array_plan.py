"""What an array is to be made of, understood from a command line or a configuration; nothing is opened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dsttool.engine.config import paths
from dsttool.engine.config.address import Address
from dsttool.engine.config.address_rules import EVERYBODY, AddressRules
from dsttool.engine.config.array_file import ArrayConfig, load_array
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.machine_file import load_machine
from dsttool.engine.config.names import check_name
from dsttool.engine.config.supported import check_supported
from dsttool.engine.host.access import AccessPlan
from dsttool.engine.host.listening import check_listens
from dsttool.engine.host.open_node import parse_device, resolved
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.mapping import registry
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.transaction.policy import REDUNDANT, SINGLE_COPY
from dsttool.engine.vocabulary.errors import Conflict, NotFound, UsageError

_SUPERBLOCKS: Final = "Arrays with superblocks come with a later release of dsttool."
# Sizes do not matter for the question whether a layout takes some members; this one suits every chunk.
_ANY_SIZE: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """How to bring an array up.

    assume_clean: take all members for equal. degraded: go on without members that are missing or stale.
    resync_from: name or address of the member that is copied onto all others; none if empty. takeover: take
    the nodes from other owners who write to them. access: rules for clients' addresses, None for those that
    are configured. invite_ns: how long an invitation is to hold, None for none. shared: offer it to several
    writers at a time. wait_ns: how long members that are missing are waited for.
    """

    config: ArrayConfig
    listens: tuple[Listen, ...] = ()
    assume_clean: bool = False
    degraded: bool = False
    read_only: bool = False
    resync_from: str = ""
    takeover: bool = False
    access: AddressRules | None = None
    invite_ns: int | None = None
    shared: bool = False
    wait_ns: int = 0

    @property
    def name(self) -> str:
        """The array's."""
        return self.config.name

    @property
    def member_names(self) -> list[str]:
        """The members' names in slot order: n0, n1, … unless their addresses say otherwise."""
        return [node.name or f"n{slot}" for slot, node in enumerate(self.config.nodes)]

    @property
    def access_plan(self) -> AccessPlan:
        """Who may come in."""
        rules = self.config.access if self.access is None else self.access
        return AccessPlan({self.name: rules}, invite_ns=self.invite_ns)

    @property
    def spare(self) -> int:
        """How many members may be missing. UsageError if these members make no array."""
        return self._shape().spare

    @property
    def parameters(self) -> dict[str, Any]:
        """The layout's parameters with their values. UsageError if these members make no array."""
        return self._shape().parameters()

    @property
    def source(self) -> int | None:
        """The slot of the member that is copied onto all others, if one is. NotFound if there is none."""
        if not self.resync_from:
            return None
        names = self.member_names
        if self.resync_from in names:
            return names.index(self.resync_from)
        for slot, node in enumerate(self.config.nodes):
            if self.resync_from == str(node.bare()) or _is_place(self.resync_from, node):
                return slot
        raise NotFound(
            f"The array {self.name} has no member {self.resync_from} to resync from.",
            f"There are: {', '.join(names)}.",
        )

    def policies(self) -> list[MemberPolicy]:
        """Each member's policy, in slot order. UsageError if what is configured contradicts itself."""
        default = REDUNDANT if self.spare else SINGLE_COPY
        machine = load_machine().policy
        return [
            MemberPolicy(
                f"{self.name}/{name}",
                default,
                self.config.policy,
                node.options,
                machine=machine,
                has_link=node.kind not in ("file", "mem"),
            )
            for name, node in zip(self.member_names, self.config.nodes)
        ]

    def algorithm(self, sizes: Sequence[int]) -> Algorithm:
        """The layout over members of these sizes, in bytes. UsageError if they make no array."""
        parameters: dict[str, Any] = {}
        if self.config.chunk is not None:
            parameters["chunk"] = self.config.chunk
        return registry.find(self.config.layout)(sizes, **parameters)

    def _shape(self) -> Algorithm:
        return self.algorithm([_ANY_SIZE] * len(self.config.nodes))

    def check(self) -> None:
        """Raise what is wrong and can be known before a node is opened: UsageError, Unsafe."""
        config = self.config
        if not config.raw:
            raise UsageError(
                f"The array {self.name} is configured without `raw = true`. {_SUPERBLOCKS}",
                f"Add that line to {paths.array_file(self.name)} if its nodes hold nothing but data.",
            )
        if config.read_policy is not None and config.layout != "mirror":
            raise UsageError("Only mirrors have a read policy.", "Leave it out.")
        self._check_nodes()
        self._check_source()
        check_listens(self.listens, [self.name])
        self._shape()
        self.policies()

    def _check_source(self) -> None:
        if self.source is None:
            return
        if not self.spare:
            raise UsageError(
                f"The layout {self.config.layout} keeps no copies, so there is nothing to resync from.",
                "Leave --resync-from out.",
            )
        if self.assume_clean or self.read_only:
            other = "--assume-clean" if self.assume_clean else "--read-only"
            raise UsageError(f"--resync-from and {other} contradict each other.", "Give one of them.")

    def _check_nodes(self) -> None:
        earlier: list[Address] = []
        for node in self.config.nodes:
            check_supported(node)
            if node.kind == "name" and node.export == self.name:
                raise UsageError(f"The array {self.name} cannot be a node of itself.", "Leave it out.")
            place = resolved(node).bare()
            if node.kind != "mem" and place in earlier:
                raise UsageError(
                    f"The node {node.bare()} is given twice; two members on it would be one copy.",
                    "Give each node once.",
                )
            earlier.append(place)
        names = self.member_names
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"Two members are named {name}.", "Give them different names: ?name=NAME.")


def from_words(
    name: str,
    nodes: Sequence[str],
    *,
    layout: str,
    raw: bool,
    chunk: int | None = None,
    read_policy: Any = None,
    listens: Sequence[Listen] = (),
    access: AddressRules | None = None,
) -> ArrayConfig:
    """An array described on the command line, checked as far as its words go."""
    check_name(name)
    if not raw:
        raise UsageError(
            _SUPERBLOCKS,
            "Add --raw: the array is then the nodes' bytes and nothing else.",
        )
    addresses = tuple(parse_device(text).absolute(Path.cwd()) for text in nodes)
    config = ArrayConfig(
        name,
        layout,
        addresses,
        raw=True,
        chunk=chunk,
        read_policy=read_policy,
        listen=tuple(listen.absolute(Path.cwd()) for listen in listens),
        access=access or EVERYBODY,
    )
    ArrayPlan(config, config.listen).check()
    return config


def from_configuration(names: Sequence[str], options: ArrayPlan | None = None) -> list[ArrayPlan]:
    """Plans of configured arrays, those that others are made of first; all of them without names.

    Raises NotFound, UsageError (also for arrays that are made of each other).
    """
    wanted = list(dict.fromkeys(names or paths.array_names()))
    if not wanted:
        raise NotFound(
            "No array is configured.", "Make one: dsttool array create NAME --layout mirror --raw NODE NODE"
        )
    plans = {}
    for name in wanted:
        config = load_array(name)
        plans[name] = ArrayPlan(config, config.listen)
        if options is not None:
            plans[name] = replace(options, config=config, listens=(*config.listen, *options.listens))
        plans[name].check()
    return _leaves_first(plans)


def refuse_configured(name: str) -> None:
    """Conflict if an array of this name is configured: nothing else may come up under it."""
    if name in paths.array_names():
        raise Conflict(
            f"An array named {name} is configured already.",
            f"Bring that one up with: dsttool array up {name}; or choose another name.",
        )


def _is_place(text: str, node: Address) -> bool:
    """Whether the text is an address of this node, however it is written."""
    if "/" not in text and ":" not in text:
        return False
    return resolved(parse_device(text)).bare() == resolved(node).bare()


def _leaves_first(plans: dict[str, ArrayPlan]) -> list[ArrayPlan]:
    ordered: list[ArrayPlan] = []
    visiting: list[str] = []

    def visit(name: str) -> None:
        if name in visiting:
            ring = " -> ".join([*visiting[visiting.index(name) :], name])
            raise UsageError(f"These arrays are made of each other: {ring}.", "Correct their nodes.")
        if plans[name] in ordered:
            return
        visiting.append(name)
        for below in _made_of(plans[name], plans):
            visit(below)
        visiting.pop()
        ordered.append(plans[name])

    for name in plans:
        visit(name)
    return ordered


def _made_of(plan: ArrayPlan, plans: dict[str, ArrayPlan]) -> list[str]:
    """Which of the other arrays are nodes of this one, by name or by socket."""
    return [name for node in plan.config.nodes for name in plans if _is_served_by(node, plans[name])]


def _is_served_by(node: Address, plan: ArrayPlan) -> bool:
    if node.kind == "name":
        return node.export == plan.name
    if node.endpoint is None:
        return False
    sockets = (paths.dst_socket(plan.name), paths.nbd_socket(plan.name))
    if node.endpoint.family == "unix" and node.endpoint.path in map(str, sockets):
        return True
    return node.endpoint in [listen.endpoint for listen in plan.listens]
