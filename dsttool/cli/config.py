"""`config show`, `config check`, `config path`: what is configured, where, and whether it is right."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from dsttool.cli import render
from dsttool.cli.asking import ask, ask_array
from dsttool.cli.file_name import FileName
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import authorized, paths
from dsttool.engine.config.options import POLICY_KEYS, format_option, policy_field
from dsttool.engine.vocabulary.checkup import Config, ConfigPath, ConfigPaths, ConfigValue, Problem, Problems
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, Unreachable, UsageError

# What is wrong in a configuration file is wrong usage.
_WRONG_EXIT: Final = UsageError.exit_code


@click.command(
    epilog="""\b
Examples:
  dsttool config show
  dsttool config show array pool
  dsttool config show export disk --json"""
)
@click.argument("kind", required=False, type=click.Choice(["array", "export"]), metavar="[array|export]")
@click.argument("name", required=False)
@shared(waits=True)
def show(settings: Settings, kind: str | None, name: str | None) -> None:
    """Show the configuration that holds, value by value, and where each value comes from.

    Without arguments it is the machine's: the folders, what dsttool.toml says, and what is configured. With
    `array NAME` or `export NAME` it is that one's. FROM says who decides: `default`; `machine`, which is
    dsttool.toml; `file`, the array's or the export's own; `address`, the query of a node's address;
    `environment`, a variable DSTTOOL_*; or `live`, which is what `policy set`, or the command line it was
    brought up with, said to the array that runs. Each is stronger than those before it.

    An array that runs is asked for its policies; values in its file that changed since it came up hold from
    the next time on.
    """
    if kind is None:
        values, what = _machine(), "machine"
    elif name is None:
        raise UsageError(f"Which {kind}?", f"Write: dsttool config show {kind} NAME")
    else:
        values, what = (_array(settings, name) if kind == "array" else _export(name)), kind
    if settings.json:
        answer: Config = {
            "schema": "dsttool.config/1",
            "what": what,  # type: ignore[typeddict-item]
            "name": name,
            "values": values,
        }
        render.emit_json(settings, answer, values)
        return
    render.table(
        settings,
        ("KEY", "VALUE", "FROM", "WHERE"),
        [(each["key"], each["value"], each["source"], each["place"] or "") for each in values],
    )


@click.command(
    epilog="""\b
Examples:
  dsttool config check
  dsttool config check arrays/pool.toml && dsttool array up pool"""
)
@click.argument("files", nargs=-1, type=FileName(path_type=Path, readable=False), metavar="[FILE...]")
@shared()
def check(settings: Settings, files: tuple[Path, ...]) -> None:
    """Check configuration files: all of them, or the FILEs named; nothing is opened or started.

    Everything that is wrong is said, not only the first: each with its file, line and column, and what to
    write instead. A file that is no TOML has one problem, for the rest of it means nothing. Checked is also
    what only shows when all is put together: whether a layout takes these nodes, whether what is listened on
    would expose data, whether policies contradict each other, whether arrays are made of each other.

    It exits with 0 if all is well, with 2 if anything is wrong, with 3 if a FILE does not exist.
    """
    from dsttool.engine.config.checking import all_files
    from dsttool.engine.host.config_check import check_all

    for file in files:
        if not file.exists():
            raise NotFound(
                f"There is no file {file}.", "`dsttool config path` says where files are looked for."
            )
    chosen = list(files) or all_files()
    problems = [_problem(error) for error in check_all(chosen)]
    if settings.json:
        answer: Problems = {
            "schema": "dsttool.problems/1",
            "files": [str(path) for path in chosen],
            "problems": problems,
        }
        render.emit_json(settings, answer, problems)
    else:
        _show_problems(settings, chosen, problems)
    if problems:
        click.get_current_context().exit(_WRONG_EXIT)


@click.command()
@shared()
def path(settings: Settings) -> None:
    """Show where configuration, sockets and state are kept, and which files are there.

    The folders are /etc/dsttool, /run/dsttool and /var/lib/dsttool for root; for other users they follow the
    XDG variables. DSTTOOL_CONFIG_DIR, DSTTOOL_RUNTIME_DIR and DSTTOOL_STATE_DIR name others.
    """
    found = [ConfigPath(kind=kind, path=str(place), exists=place.exists()) for kind, place in _places()]
    if settings.json:
        answer: ConfigPaths = {"schema": "dsttool.config_paths/1", "paths": found}
        render.emit_json(settings, answer, found)
        return
    render.table(
        settings,
        ("KIND", "PATH", "THERE"),
        [(each["kind"], each["path"], "yes" if each["exists"] else "no") for each in found],
    )


def _machine() -> list[ConfigValue]:
    from dsttool.engine.host import effective

    return effective.of_machine()


def _export(name: str) -> list[ConfigValue]:
    from dsttool.engine.host import effective

    return effective.of_export(name)


def _array(settings: Settings, name: str) -> list[ConfigValue]:
    """What is configured, with what the array says that runs; or that alone, if nothing is configured."""
    from dsttool.engine.host import effective

    live = _live_policy(settings, name)
    if name not in paths.array_names() and live is not None:
        return [*_running(settings, name), *live]
    values = effective.of_array(name)
    changed = {each["key"]: each for each in live or () if each["source"] == "live"}
    return [changed.get(each["key"], each) for each in values]


def _live_policy(settings: Settings, name: str) -> list[ConfigValue] | None:
    """The policies of an array that runs; None if it does not, or no member has a link."""
    try:
        answer = ask_array(settings, name, "policy.show")
    except (NotFound, Unreachable):
        return None
    except DsttoolError:
        return []
    sources = {"array": "file"}
    return [
        {
            "key": f"{node['node']}.{key}",
            "value": format_option(key, setting["value"]),
            "source": sources.get(setting["source"], setting["source"]),
            "place": None,
        }
        for node in answer["nodes"]
        for key in POLICY_KEYS
        for setting in (node["policy"][policy_field(key)],)
    ]


def _running(settings: Settings, name: str) -> Iterator[ConfigValue]:
    """What an array runs with that was brought up from a command line."""
    (array,) = ask(settings, name, "status")["arrays"]
    yield _live("layout", array["layout"])
    for member in array["members"]:
        yield _live(f"nodes.{member['name']}", member["address"] or render.UNKNOWN)
    for address in array["addresses"]:
        yield _live("listen", address)


def _live(key: str, value: str) -> ConfigValue:
    return {"key": key, "value": value, "source": "live", "place": None}


def _problem(error: DsttoolError) -> Problem:
    from dsttool.engine.config.toml_file import ConfigError

    if isinstance(error, ConfigError):
        place = error.place
        return {
            "file": str(error.path),
            "line": place.line,
            "column": place.column,
            "what": error.complaint,
            "advice": error.advice,
        }
    return {"file": None, "line": None, "column": None, "what": error.what, "advice": error.advice}


def _show_problems(settings: Settings, files: Sequence[Path], problems: Sequence[Problem]) -> None:
    for each in problems:
        place = "" if each["file"] is None else f"{each['file']}:{each['line']}:{each['column']}: "
        click.echo(f"{place}{each['what']} {each['advice']}".rstrip())
    number = f"{len(files)} file{'' if len(files) == 1 else 's'}"
    if problems:
        render.note(settings, f"{number}, {len(problems)} problem{'' if len(problems) == 1 else 's'}.")
    elif files:
        render.say(settings, f"{number}, all is well.")
    else:
        render.say(settings, f"Nothing is configured in {paths.config_dir()}.")


def _places() -> Iterator[tuple[str, Path]]:
    yield "config", paths.config_dir()
    yield "runtime", paths.runtime_dir()
    yield "state", paths.state_dir()
    yield "machine", paths.machine_file()
    yield "keys", authorized.file()
    for name in paths.array_names():
        yield "array", paths.config_dir() / "arrays" / f"{name}.toml"
    for name in paths.export_names():
        yield "export", paths.config_dir() / "exports" / f"{name}.toml"
