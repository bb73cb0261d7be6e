"""Packages from npm are installed without running their scripts."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FOLDERS = [
    path.parent
    for top in ("app", "tests")
    for path in PROJECT.joinpath(top).rglob("package-lock.json")
    if "node_modules" not in path.parts
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_npm_runs_no_scripts_of_packages(folder: Path) -> None:
    assert "ignore-scripts=true" in (folder / ".npmrc").read_text().splitlines()


def test_every_lock_file_is_found() -> None:
    assert len(FOLDERS) == 2
