"""Which commands only look: those that a screen started with --read-only runs."""

from typing import Final

from dsttool.cli.tree import Tree

# By name, so that a new command is one that may change something until somebody has thought about it.
READS: Final = frozenset(
    {
        ("array", "list"), ("array", "show"), ("node", "list"), ("resync", "status"), ("policy", "show"),
        ("status",), ("tx", "list"), ("tx", "show"), ("events",), ("iostat",), ("wait",), ("uri",), ("info",),
        ("key", "show"), ("key", "list"), ("daemon", "list"), ("logs",), ("doctor",), ("config", "show"),
        ("config", "check"), ("config", "path"), ("schema",), ("man",), ("version",),
    }
)  # fmt: skip


def commands(root: Tree) -> list[tuple[tuple[str, ...], bool]]:
    """Every command by its words, in the order of the tree, and whether it only looks."""
    return [(words, words in READS) for words in root.paths()]
