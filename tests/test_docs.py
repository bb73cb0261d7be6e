"""The documentation agrees with the project: links, the README's length, the settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.config import Settings

PROJECT = Path(__file__).parents[1]
DOCS = sorted((PROJECT / "docs").glob("*.md"))
PAGES = [
    *PROJECT.glob("*.md"),
    *DOCS,
    *(PROJECT / "deploy").glob("*.md"),
    *(PROJECT / "app/services").rglob("README.md"),
    *(PROJECT / "tests").glob("*/README.md"),
]
LINK = re.compile(r"""\]\(([^()\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
# A row of docs/settings.md: variable, default and unit.
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]+)`|–)( s)? \|", re.MULTILINE)


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def relative_links(page: Path) -> Iterator[str]:
    for found in LINK.finditer(prose(page)):
        link = found[1] or found[2]
        if "://" not in link and not link.startswith(("mailto:", "/")):
            yield link


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in relative_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_readme_links_to_every_page_of_the_documentation(page: Path) -> None:
    assert f"docs/{page.name}" in relative_links(PROJECT / "README.md")


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 140


def test_every_setting_is_documented_with_its_default_and_unit() -> None:
    text, _, _ = (PROJECT / "docs/settings.md").read_text().partition("## Other variables")
    fields = [
        (field.name.upper(), _shown(field.default), " s" if _in_seconds(field.name) else "")
        for field in msgspec.structs.fields(Settings)
    ]
    assert sorted(ROW.findall(text)) == sorted(fields)


def _shown(default: object) -> str:
    if default is None or default == "":
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _in_seconds(name: str) -> bool:
    return name.endswith(("_timeout", "_time", "_ttl", "_grace", "_replay", "_lease", "heartbeat"))
