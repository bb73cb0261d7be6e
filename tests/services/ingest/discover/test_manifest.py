"""Listing of a library that has a manifest."""

import datetime
import json
from pathlib import Path

import pytest

from app.services.ingest.discover.manifest import has_manifest, read_manifest
from app.services.ingest.entry import LibraryEntry
from app.services.ingest.errors import UnusableLibrary
from app.services.ingest.files import LibraryFolder
from tests.services.ingest.libraries import manifest_library, video, write_files


def test_manifest_lists_its_videos(tmp_path: Path) -> None:
    folder = manifest_library(
        tmp_path,
        video("a", speakers=["Ann"], date="2024-05-31", youtube_id="abc"),
        video("b", creator="Tom O", url="https://example.com/b", date=None),
        video("c", creator="new-one", url="javascript:alert(1)"),
    )

    listing = read_manifest(LibraryFolder(folder))

    assert has_manifest(LibraryFolder(folder))
    assert listing.creators == {"mara": "Mara Voss", "tom-o": "Tom Ö."}
    assert listing.fallback_names == {"new-one": "New one"}
    assert listing.entries[0] == LibraryEntry(
        key="a",
        path="transcripts/a.md",
        creator="mara",
        kind="video",
        title="Talk a",
        topic="mixing-bass",
        url="https://www.youtube.com/watch?v=abc",
        language="en",
        speakers=("Ann",),
        published=datetime.date(2024, 5, 31),
    )
    assert [entry.url for entry in listing.entries[1:]] == ["https://example.com/b", None]


def test_unusable_videos_of_a_manifest_are_broken_but_keep_their_keys(tmp_path: Path) -> None:
    folder = manifest_library(
        tmp_path,
        video("a"),
        video("a"),
        {**video("b"), "path": "../b.md"},
        {**video("c"), "creator": "!"},
    )

    listing = read_manifest(LibraryFolder(folder))

    assert [entry.key for entry in listing.entries] == ["a"]
    assert [path for path, _ in listing.broken] == [
        "transcripts/a.md",
        "../b.md",
        "transcripts/c.md",
    ]
    for (_, reason), word in zip(listing.broken, ("twice", "outside", "creator"), strict=True):
        assert word in reason
    # So that none of them is pruned.
    assert listing.keys == {"a", "b", "c"}


@pytest.mark.parametrize("line", ["{", '{"video": "a"}', '{"video": 1, "creator": "", "path": ""}'])
def test_invalid_line_of_a_manifest_is_reported_by_its_number(tmp_path: Path, line: str) -> None:
    folder = write_files(tmp_path, {"videos.jsonl": f"{json.dumps(video('a'))}\n\n{line}\n"})

    with pytest.raises(UnusableLibrary, match=r"line 3 of .*videos\.jsonl is invalid"):
        read_manifest(LibraryFolder(folder))
