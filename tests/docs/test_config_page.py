"""The page on configuration says which values hold where nothing is said, and its files are right."""

import re
from pathlib import Path

import pytest

import dsttool
from dsttool.engine.config.units import format_duration
from dsttool.engine.transaction.policy import REDUNDANT, SINGLE_COPY
from support.site import Site

PAGE = (Path(dsttool.__file__).parent.parent / "man" / "dsttool-config.5").read_text()


def paragraph(title: str) -> str:
    """What is said of an option of an address."""
    return PAGE.partition(f"\n.It Li {title}\n")[2].partition("\n.It ")[0].partition("\n.El")[0]


@pytest.mark.parametrize(
    ("title", "defaults"),
    [
        ("links", [str(SINGLE_COPY.links)]),
        ("on_exhausted", [SINGLE_COPY.on_exhausted]),
        ("ping_interval , ping_misses", [format_duration(SINGLE_COPY.ping_interval_ns), "3"]),
        ("connect_timeout", [format_duration(SINGLE_COPY.connect_timeout_ns)]),
        (
            "backoff_min , backoff_max",
            [format_duration(SINGLE_COPY.backoff_min_ns), format_duration(SINGLE_COPY.backoff_max_ns)],
        ),
        ("window", [str(SINGLE_COPY.window)]),
    ],
)
def test_the_default_of_an_option_is_the_one_that_holds(title: str, defaults: list[str]) -> None:
    found = re.search(r"^Defaults?: (.*)\.$", paragraph(title), flags=re.MULTILINE)

    assert found is not None
    assert found[1].split(", ") == defaults
    assert SINGLE_COPY.ping_misses == 3


def test_budgets_are_those_that_hold_with_copies_and_without() -> None:
    said = [
        f"{format_duration(policy.resend_timeout_ns)} and {policy.resends} on {where}, "
        f"which makes {policy.budget_ns // 10**9} s"
        for policy, where in ((REDUNDANT, "layouts with copies"), (SINGLE_COPY, "others"))
    ]

    assert f"Defaults are {said[0]}, and {said[1]}." in paragraph("resend_timeout , resends")


def test_the_files_of_the_page_are_right_as_they_stand(site: Site) -> None:
    files = re.findall(r"^\.Bd -literal -offset 2n\n(.*?)^\.Ed", PAGE, flags=re.MULTILINE | re.DOTALL)
    names = ("arrays/pool.toml", "exports/a.toml", "keys/authorized.toml", "dsttool.toml")
    site.dsttool("key", "generate")
    public = re.findall(r"dst1-\S+", site.dsttool("key", "show").stdout)[0]
    for name, text in zip(names, files, strict=True):
        path = Path(site.env["DSTTOOL_CONFIG_DIR"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("dst1-...", public))

    assert "4 files" in site.dsttool("config", "check").stdout
