"""Every kind of device that dsttool serves, ready to be tried by peers' clients."""

from support.site import Site

LEAF = 48 << 20
CHUNK = 64 << 10

# The export and its size; each array is over exports of its own.
SIZES = {"export": LEAF, "linear": 2 * LEAF, "stripe": 2 * LEAF, "mirror": LEAF, "tree": 2 * LEAF}
NAMES = tuple(SIZES)


def leaf(site: Site, name: str, **options: object) -> str:
    """Export a fresh sparse file; returns its DST address."""
    site.export(site.file(f"{name}.img", LEAF), name)
    return site.dst(name, **options)


def start(site: Site, kind: str) -> str:
    """Serve a device of this kind under the name `kind`; returns its NBD address."""
    if kind == "export":
        site.export(site.file("export.img", LEAF), "export")
    elif kind == "tree":
        start_tree(site)
    else:
        site.array(kind, kind, leaf(site, "a"), leaf(site, "b"), *layout_options(kind))
    return site.nbd(kind)


def start_tree(site: Site, **options: object) -> None:
    """Three levels: a stripe over two exported mirrors, each over two exports. `options` go to the leaf a."""
    for array, members in {"left": "ab", "right": "cd"}.items():
        nodes = [leaf(site, name, **(options if name == "a" else {})) for name in members]
        site.array(array, "mirror", *nodes, "--assume-clean")
    site.array("tree", "stripe", site.dst("left"), site.dst("right"), *layout_options("stripe"))


def layout_options(layout: str) -> list[str]:
    """What `array up` needs beside the nodes. New sparse files hold the same zeroes on all sides."""
    return {"mirror": ["--assume-clean"], "stripe": ["--chunk", "64K"], "linear": []}[layout]
