"""The table `[policy]` of a configuration file: a transaction policy's keys, as in a node's address."""

from collections.abc import Mapping
from typing import Final

from dsttool.engine.config.options import POLICY_KEYS, Value, parse_policy
from dsttool.engine.config.toml_file import TomlFile

TABLE: Final = "policy"


def policy_in(file: TomlFile, table: Mapping[str, object]) -> dict[str, Value]:
    """The settings by key, durations in ns. ConfigError for a key that is none, or a wrong value."""
    settings: dict[str, Value] = {}
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise file.error((TABLE, key), f"'{key}' must be a whole number or a text.")
        unknown = key not in POLICY_KEYS
        settings.update(file.checked((TABLE, key), parse_policy, {key: str(value)}, at_key=unknown))
    shortest, longest = settings.get("backoff_min"), settings.get("backoff_max")
    if isinstance(shortest, int) and isinstance(longest, int) and shortest > longest:
        raise file.error(
            (TABLE, "backoff_min"), "backoff_min is longer than backoff_max.", "Exchange the two."
        )
    return settings
