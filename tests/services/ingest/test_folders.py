"""Folders of files, with a manifest or without, become listings."""

import datetime
import json
from pathlib import Path

import pytest

from app.services.ingest.entries import Entry
from app.services.ingest.errors import UnusableLibrary
from app.services.ingest.folders import read_folders
from app.services.ingest.manifest import has_manifest, read_manifest
from tests.services.ingest.libraries import (
    INFO,
    VTT,
    manifest_library,
    plain_library,
    video,
    write_files,
)


def test_each_folder_is_a_creator(tmp_path: Path) -> None:
    listing = read_folders(plain_library(tmp_path))

    assert listing.creators == {"mara-voss": "Mara Voss", "jorg": "Jörg Klang"}
    assert sorted(listing.keys) == [
        "Jörg/Kompression [dQw4w9WgXcQ].de.vtt",
        "mara-voss/attack.md",
        "mara-voss/talks/modes.md",
    ]
    assert (listing.skipped, listing.broken) == (1, ())


def test_what_lies_beside_captions_describes_them(tmp_path: Path) -> None:
    listing = read_folders(plain_library(tmp_path))

    path = "Jörg/Kompression [dQw4w9WgXcQ].de.vtt"
    assert next(entry for entry in listing.entries if entry.key == path) == Entry(
        key=path,
        path=path,
        creator="jorg",
        kind="video",
        title="Kompression erklärt",
        topic="Mixing",
        url="https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        language="de",
        published=datetime.date(2024, 5, 31),
    )


def test_a_video_of_youtube_has_an_address_by_its_id(tmp_path: Path) -> None:
    info = {**INFO, "webpage_url": None, "extractor": "youtube", "tags": []}
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(info)})

    (entry,) = read_folders(tmp_path).entries

    assert (entry.url, entry.topic, entry.language) == (
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "Music",
        "en",
    )


def test_a_creator_nobody_names_is_called_like_the_folder(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann_lee/a.vtt": VTT, "empty/none.png": b"\0", ".git/a.vtt": VTT})

    assert read_folders(tmp_path).creators == {"ann-lee": "Ann lee"}


def test_a_broken_description_is_told_and_the_captions_stay(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": "{"})

    listing = read_folders(tmp_path)

    assert [path for path, _ in listing.broken] == ["ann/a.info.json"]
    assert [entry.key for entry in listing.entries] == ["ann/a.vtt"]


def test_a_manifest_lists_videos(tmp_path: Path) -> None:
    folder = manifest_library(
        tmp_path,
        video("a", speakers=["Ann"], date="2024-05-31", youtube_id="abc"),
        video("b", creator="Tom O", url="https://example.com/b", date=None),
        video("c", creator="new-one"),
    )

    listing = read_manifest(folder)

    assert has_manifest(folder)
    assert listing.creators == {"mara": "Mara Voss", "tom-o": "Tom Ö.", "new-one": "New one"}
    assert listing.entries[0] == Entry(
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


def test_a_wrong_line_of_a_manifest_is_told(tmp_path: Path) -> None:
    folder = manifest_library(
        tmp_path,
        video("a"),
        video("a"),
        {**video("b"), "path": "../b.md"},
        {**video("c"), "creator": "!"},
    )

    listing = read_manifest(folder)

    assert [entry.key for entry in listing.entries] == ["a"]
    assert [why for _, why in listing.broken] == [
        "the manifest names the video 'a' twice",
        "the manifest names a file outside of the folder",
        "its creator's name has no letter in it",
    ]
    # Whatever is wrong with them, they are not gone.
    assert listing.keys == {"a", "b", "c"}


@pytest.mark.parametrize("line", ["{", '{"video": "a"}', '{"video": 1, "creator": "", "path": ""}'])
def test_a_manifest_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    folder = write_files(tmp_path, {"videos.jsonl": f"{json.dumps(video('a'))}\n\n{line}\n"})

    with pytest.raises(UnusableLibrary, match=r"line 3 of .*videos\.jsonl is wrong"):
        read_manifest(folder)
