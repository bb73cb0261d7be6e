"""Reading of files within a library's folder."""

import os
from pathlib import Path

import pytest

from app.services.ingest.errors import BrokenFile
from app.services.ingest.files import LibraryFolder
from tests.services.ingest.libraries import write_files


def test_file_in_the_folder_is_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/b/c.md": "Hello."})

    assert LibraryFolder(tmp_path).read("ann/b/c.md", 6) == b"Hello."
    assert LibraryFolder(tmp_path).read_head("ann/b/c.md", 3) == b"Hel"


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("library/a.md", "../secret.md", "a.md"),
        ("library/a.md", "b.md", "a.md"),
        ("library/ann", "../outside", "ann/secret.md"),
        ("library/ann/in/deep", "/", "ann/in/deep/etc/passwd"),
    ],
)
def test_links_are_read_only_if_they_are_followed(
    tmp_path: Path, link: str, target: str, path: str
) -> None:
    files = ("secret.md", "outside/secret.md", "library/b.md")
    write_files(tmp_path, dict.fromkeys(files, "Hello."))
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(target)

    with pytest.raises(BrokenFile, match="symbolic link; --follow-links"):
        LibraryFolder(tmp_path / "library").read(path, 1_000)
    assert LibraryFolder(tmp_path / "library", follow_links=True).read(path, 1_000_000)


@pytest.mark.parametrize("path", ["", "..", "../secret.md", "a/../../secret.md", "/etc/passwd"])
@pytest.mark.parametrize("name", ["a\0b.md", "\ud800.md", "a" * 12_000])
def test_path_that_is_not_inside_the_folder_or_not_valid_is_broken(
    tmp_path: Path, path: str, name: str
) -> None:
    write_files(tmp_path, {"secret.md": "Hello.", "library/a/b.md": "Hello."})

    for one in (path, name):
        with pytest.raises(BrokenFile):
            LibraryFolder(tmp_path / "library").read(one, 1_000)


def test_file_that_is_not_regular_is_broken_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()

    for name in ("pipe.md", "folder.md"):
        with pytest.raises(BrokenFile, match="not a regular file"):
            LibraryFolder(tmp_path).read(name, 1_000)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs a file without a size")
def test_limit_applies_to_files_without_a_size() -> None:
    with pytest.raises(BrokenFile, match="larger than"):
        LibraryFolder(Path("/proc"), follow_links=True).read("self/status", 10)
