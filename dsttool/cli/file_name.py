"""Words of a command line that name a file."""

from typing import Any

import click

from dsttool.engine.vocabulary.errors import UsageError


class FileName(click.Path):
    """As click's own; but an empty word, which is what a variable that is not set leaves, names no file, and
    not the folder one is in. Raises UsageError.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click.ParamType."""
        if value == "":
            of = f" for {param.opts[-1]}" if isinstance(param, click.Option) else ""
            raise UsageError(
                f"The name of a file{of} is empty.",
                "Give its path. If a variable was to say it, it is not set.",
            )
        return super().convert(value, param, ctx)
