"""The command tree: every command by name, imported only when it is called or asked for help.

The console, the completions and the man pages are made from this same tree.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Final

import click

from dsttool.cli.settings import Settings, group_options
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.suggest import suggest

Entry = str | click.Command
# More characters than any first sentence of a help has.
_UNCUT: Final = 1000


class Tree(click.Group):
    """A group with the shared options, whose commands are 'module:function' strings, or groups of such."""

    def __init__(self, name: str, entries: Mapping[str, Entry], help: str, **more: object) -> None:
        super().__init__(name, help=help, **more)  # type: ignore[arg-type]
        self._entries = entries
        group_options(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the tree, which groups what belongs together."""
        return list(self._entries)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """As Click's, after those of the tree."""
        self._entries = {**self._entries, name or cmd.name or "": cmd}

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Every command below this group by its words; none is imported."""
        for name, entry in self._entries.items():
            if isinstance(entry, Tree):
                yield from ((name, *words) for words in entry.paths())
            else:
                yield (name,)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None if there is none of that name."""
        entry = self._entries.get(cmd_name)
        if not isinstance(entry, str):
            return entry
        module, _, function = entry.partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As Click's, which cuts sentences that do not fit into a line; here they go on in the next."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(_UNCUT)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As Click's; without any word the help, which is no answer to a command: on stderr, exit 2."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click's, with a suggestion for a mistyped command."""
        word = args[0]
        if not word.startswith("-") and word not in self._entries and not ctx.resilient_parsing:
            near = suggest(word, self._entries)
            raise UsageError(
                f"There is no command `{ctx.command_path} {word}`.",
                f"Did you mean `{ctx.command_path} {near}`?"
                if near
                else f"`{ctx.command_path} --help` lists the commands.",
            )
        return super().resolve_command(ctx, args)


def _array() -> click.Command:
    return Tree(
        "array",
        {
            "create": "dsttool.cli.array_create:create",
            "up": "dsttool.cli.array_up:up",
            "down": "dsttool.cli.array:down",
            "list": "dsttool.cli.array:list_arrays",
            "show": "dsttool.cli.array:show",
            "discard": "dsttool.cli.array_discard:discard",
            "delete": "dsttool.cli.array_delete:delete",
        },
        help="Form one device out of several nodes.",
    )


def _daemon() -> click.Command:
    return Tree(
        "daemon",
        {
            "list": "dsttool.cli.daemon:list_daemons",
            "stop": "dsttool.cli.daemon:stop",
            "reload": "dsttool.cli.daemon_reload:reload",
            "tune": "dsttool.cli.daemon:tune",
        },
        help="List, stop and tune what runs on this machine.",
    )


def _key() -> click.Command:
    return Tree(
        "key",
        {
            "generate": "dsttool.cli.key:generate",
            "show": "dsttool.cli.key:show",
            "authorize": "dsttool.cli.key:authorize",
            "revoke": "dsttool.cli.key:revoke",
            "list": "dsttool.cli.key:list_keys",
        },
        help="Make keys, and say which clients' keys may use this machine's exports.",
    )


def _config() -> click.Command:
    return Tree(
        "config",
        {
            "show": "dsttool.cli.config:show",
            "check": "dsttool.cli.config:check",
            "path": "dsttool.cli.config:path",
        },
        help="Look at what is configured, and check it.",
    )


def build() -> Tree:
    """The whole tree."""
    return Tree(
        "dsttool",
        {
            "export": "dsttool.cli.export:export",
            "array": _array(),
            "node": Tree(
                "node",
                {
                    "list": "dsttool.cli.node:list_nodes",
                    "suspend": "dsttool.cli.node:suspend",
                    "resume": "dsttool.cli.node:resume",
                },
                help="Look at the nodes of an array, take one out for a while, and bring it back.",
            ),
            "resync": Tree(
                "resync",
                {
                    "status": "dsttool.cli.resync:status",
                    "start": "dsttool.cli.resync:start",
                    "pause": "dsttool.cli.resync:pause",
                    "stop": "dsttool.cli.resync:stop",
                    "limit": "dsttool.cli.resync:limit",
                },
                help="Copying to members what they missed: how far it is, and how fast it may go.",
            ),
            "policy": Tree(
                "policy",
                {"show": "dsttool.cli.policy:show", "set": "dsttool.cli.policy:set_policy"},
                help="How long transactions may take, and how links are kept alive.",
            ),
            "status": "dsttool.cli.status:status",
            "iostat": "dsttool.cli.iostat:iostat",
            "events": "dsttool.cli.events:events",
            "tx": Tree(
                "tx",
                {"list": "dsttool.cli.tx:list_transactions", "show": "dsttool.cli.tx:show"},
                help="Transactions: requests to other machines that have no answer yet.",
            ),
            "wait": "dsttool.cli.wait:wait",
            "uri": "dsttool.cli.status:uri",
            "info": "dsttool.cli.info:info",
            "cp": "dsttool.cli.copy:copy",
            "bench": "dsttool.cli.bench:bench",
            "tui": "dsttool.cli.tui:tui",
            "console": "dsttool.cli.console:console",
            "demo": "dsttool.cli.demo:demo",
            "key": _key(),
            "daemon": _daemon(),
            "logs": "dsttool.cli.daemon:logs",
            "record": "dsttool.cli.record:record",
            "schema": "dsttool.cli.schema:schema",
            "ctl": "dsttool.cli.ctl:ctl",
            "doctor": "dsttool.cli.doctor:doctor",
            "config": _config(),
            "completion": "dsttool.cli.completion:completion",
            "man": "dsttool.cli.man:man",
            "version": "dsttool.cli.version:version",
        },
        help="Dependable network block storage: exports, arrays, NBD.",
        epilog="First minutes: dsttool demo",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "auto_envvar_prefix": "DSTTOOL",
            "max_content_width": 100,
            "obj": Settings(),
        },
    )
