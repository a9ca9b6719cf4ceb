"""Which transaction policy holds for each member of an array, and where each of its values comes from.

    default  <  machine ([policy] in dsttool.toml)  <  array ([policy] in arrays/NAME.toml)
             <  address (a node's query)  <  live (`policy set`)

A live change holds until the array goes down; the last one wins, whether it was for all members or one.
Changes are checked for every member they touch before the first of them is made.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from dsttool.engine.config.options import POLICY_KEYS, Value, format_option, policy_field, policy_overrides
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.errors import Conflict, UsageError

LOG = logging.getLogger(__name__)

Source = Literal["default", "machine", "array", "address", "live"]

# What a connection is made with once: a change means other connections, not other timers.
_NOT_LIVE: Final = ("links",)


class MemberPolicy:
    """One member's policy. `label`: "array/member", for messages. has_link: whether it has any use for one.

    Raises UsageError if what is configured contradicts itself.
    """

    def __init__(
        self,
        label: str,
        default: Policy,
        array: Mapping[str, Value],
        address: Mapping[str, Value],
        *,
        machine: Mapping[str, Value] | None = None,
        has_link: bool = True,
    ) -> None:
        self.label = label
        self.has_link = has_link
        self._default = default
        self._configured: dict[Source, Mapping[str, Value]] = {
            "machine": machine or {},
            "array": array,
            "address": address,
        }
        self._live: dict[str, Value] = {}
        self.policy = self._merged(self._live)

    def changed(self, settings: Mapping[str, Value]) -> Policy:
        """The policy with these settings made live; nothing is changed yet. Raises UsageError, Conflict."""
        policy = self._merged({**self._live, **settings})
        for key in _NOT_LIVE:
            if getattr(policy, key) != getattr(self.policy, key):
                raise Conflict(
                    f"{key} of {self.label} cannot be changed while it is connected.",
                    f"Take the array down, and bring it up with {key}={settings[key]} in the node's address.",
                )
        return policy

    def change(self, settings: Mapping[str, Value]) -> list[tuple[str, str, str]]:
        """Make settings live: for each key whose value is another now, the key, the old value and the new."""
        changes, self.policy = self.changes(settings), self.changed(settings)
        self._live.update(settings)
        if changes:
            what = ", ".join(f"{key} {before} -> {after}" for key, before, after in changes)
            tell(LOG, "policy.changed", self.label, "%s: policy set: %s", self.label, what)
        return changes

    def changes(self, settings: Mapping[str, Value]) -> list[tuple[str, str, str]]:
        """What `change` would give; nothing is changed. Raises UsageError, Conflict."""
        after = self.changed(settings)
        values = [(key, _spoken(key, self.policy), _spoken(key, after)) for key in settings]
        return [each for each in values if each[1] != each[2]]

    def reconfigured(
        self, machine: Mapping[str, Value], array: Mapping[str, Value], address: Mapping[str, Value]
    ) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
        """What `reconfigure` would change, as `change` gives it, and what only a start would; nothing is
        changed. Raises UsageError.
        """
        options = {**machine, **array, **address, **self._live}
        after = self._checked(replace(self._default, **policy_overrides(options)))
        values = [(key, _spoken(key, self.policy), _spoken(key, after)) for key in POLICY_KEYS]
        changes = [each for each in values if each[1] != each[2]]
        live = [each for each in changes if each[0] not in _NOT_LIVE]
        return live, [each for each in changes if each[0] in _NOT_LIVE]

    def reconfigure(
        self, machine: Mapping[str, Value], array: Mapping[str, Value], address: Mapping[str, Value]
    ) -> None:
        """Take up what is configured now. What was set live is stronger; what cannot be live stays."""
        found: dict[Source, Mapping[str, Value]] = {"machine": machine, "array": array, "address": address}
        for source, settings in found.items():
            kept = {key: value for key, value in self._configured[source].items() if key in _NOT_LIVE}
            self._configured[source] = {k: v for k, v in settings.items() if k not in _NOT_LIVE} | kept
        self.policy = self._merged(self._live)

    def source(self, key: str) -> Source:
        """Where the value that holds for a key comes from."""
        if key in self._live:
            return "live"
        return next((s for s in ("address", "array", "machine") if key in self._configured[s]), "default")

    def status(self) -> dict[str, dict[str, Any]]:
        """Each field of the policy with its value (durations in ns) and its source."""
        return {
            policy_field(key): {"value": getattr(self.policy, policy_field(key)), "source": self.source(key)}
            for key in POLICY_KEYS
        }

    def _merged(self, live: Mapping[str, Value]) -> Policy:
        configured = self._configured
        options = {**configured["machine"], **configured["array"], **configured["address"], **live}
        return self._checked(replace(self._default, **policy_overrides(options)))

    def _checked(self, policy: Policy) -> Policy:
        if policy.backoff_min_ns > policy.backoff_max_ns:
            raise UsageError(
                f"backoff_min of {self.label} ({_spoken('backoff_min', policy)}) would be longer than its "
                f"backoff_max ({_spoken('backoff_max', policy)}).",
                "Set both.",
            )
        return policy


def _spoken(key: str, policy: Policy) -> str:
    """The value of a key as people write it."""
    return format_option(key, getattr(policy, policy_field(key)))
