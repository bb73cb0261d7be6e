"""Folders of files, with a manifest or without, become listings."""

import datetime
import json
import os
from pathlib import Path

import pytest

from app.services.ingest.discover.entries import Entry, split_language
from app.services.ingest.discover.folders import read_folders
from app.services.ingest.discover.manifest import has_manifest, read_manifest
from app.services.ingest.errors import UnusableLibrary
from tests.services.ingest.libraries import (
    ATTACK,
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


def test_what_lies_in_no_creators_folder_is_named_where_it_would_have_been_read(
    tmp_path: Path,
) -> None:
    plain_library(tmp_path)
    left_out = {"loose.md": ATTACK, "Talk.VTT": VTT, "...txt": "hidden", "!.srt": VTT}
    no_loss = ("README.md", "readme-de.txt", "LICENSE.md", "Licence-MIT.txt", "cover.png", "x.json")
    write_files(tmp_path, {**left_out, **dict.fromkeys(no_loss, "Words.")})

    listing = read_folders(tmp_path)

    assert listing.loose == ("!.srt", "Talk.VTT", "loose.md")
    assert (len(listing.keys), listing.broken) == (3, ())


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

    listing = read_folders(tmp_path)

    assert (listing.creators, listing.unnamed) == ({}, {"ann-lee": "Ann lee"})


@pytest.mark.parametrize("broken", ['{"title": "Ha', "[]", None])
def test_a_document_whose_description_is_broken_is_left_alone(
    tmp_path: Path, broken: str | None
) -> None:
    write_files(tmp_path, {"ann/a.en.vtt": VTT, "ann/b.vtt": VTT})
    if broken is None:
        (tmp_path / "ann/a.info.json").symlink_to("gone.json")
    else:
        write_files(tmp_path, {"ann/a.info.json": broken})

    listing = read_folders(tmp_path)

    assert [path for path, _ in listing.broken] == ["ann/a.info.json"]
    assert [entry.key for entry in listing.entries] == ["ann/b.vtt"]
    assert listing.keys == {"ann/a.en.vtt", "ann/b.vtt"}


def test_an_odd_field_of_a_description_is_passed_over(tmp_path: Path) -> None:
    info = {**INFO, "id": 5, "tags": ["a", None], "webpage_url": "javascript:alert(1)"}
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(info)})

    listing = read_folders(tmp_path)

    (entry,) = listing.entries
    assert (entry.title, entry.topic, entry.url) == ("Kompression erklärt", "Music", None)
    assert listing.broken == ()


def test_links_to_nowhere_are_told_and_what_was_there_is_not_gone(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT})
    (tmp_path / "bob").symlink_to("nowhere")
    (tmp_path / "ann/b.vtt").symlink_to("b.vtt")
    (tmp_path / "ann/talks").symlink_to("nowhere")

    listing = read_folders(tmp_path)

    assert [path for path, _ in listing.broken] == ["ann/b.vtt", "ann/talks", "bob"]
    assert all(why.startswith("it cannot be read: ") for _, why in listing.broken)
    kept = ["ann/a.vtt", "ann/b.vtt", "ann/talks/c.vtt", "bob/d.vtt"]
    assert [key for key in (*kept, "bobby/e.vtt", "ann/f.vtt") if listing.may_hold(key)] == kept


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file that cannot be read")
def test_files_that_cannot_be_read_stop_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/b.vtt": VTT})
    for name in ("a.md", "notes.docbook"):
        (tmp_path / "ann" / name).symlink_to("/proc/self/mem")

    listing = read_folders(tmp_path)

    assert [path for path, _ in listing.broken] == ["ann/notes.docbook"]
    assert [entry.key for entry in listing.entries] == ["ann/a.md", "ann/b.vtt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/talks/b.vtt": VTT, "bob/c.vtt": VTT})
    (tmp_path / "ann/talks").chmod(0)
    (tmp_path / "bob").chmod(0)

    listing = read_folders(tmp_path)
    for path in ("ann/talks", "bob"):
        (tmp_path / path).chmod(0o700)

    assert [path for path, _ in listing.broken] == ["ann/talks", "bob"]
    assert listing.may_hold("ann/talks/b.vtt")
    assert listing.may_hold("bob/c.vtt")


@pytest.mark.parametrize(
    ("stem", "name", "language"),
    [
        ("talk.en", "talk", "en"),
        ("talk.pt-BR", "talk", "pt-BR"),
        ("talk.zh-Hans", "talk", "zh-Hans"),
        ("talk.es-419", "talk", "es-419"),
        ("talk.en-orig", "talk", "en"),
        ("talk.eng", "talk", "en"),
        ("talk.ger", "talk", "de"),
        ("final.mix", "final.mix", None),
        ("talk.hd", "talk.hd", None),
        ("part.one-two", "part.one-two", None),
        ("talk", "talk", None),
    ],
)
def test_only_a_language_is_taken_off_a_name(stem: str, name: str, language: str | None) -> None:
    assert split_language(stem) == (name, language)


def test_a_manifest_lists_videos(tmp_path: Path) -> None:
    folder = manifest_library(
        tmp_path,
        video("a", speakers=["Ann"], date="2024-05-31", youtube_id="abc"),
        video("b", creator="Tom O", url="https://example.com/b", date=None),
        video("c", creator="new-one", url="javascript:alert(1)"),
    )

    listing = read_manifest(folder)

    assert has_manifest(folder)
    assert listing.creators == {"mara": "Mara Voss", "tom-o": "Tom Ö."}
    assert listing.unnamed == {"new-one": "New one"}
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


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (["Guest Gwen", "Bob the Turner", "Bob the Turner"], "Bob the Turner"),
        (["Guest Gwen", "Guest Gwen", "BÖB"], "BÖB"),
    ],
)
def test_a_guests_page_does_not_rename_a_creator(
    tmp_path: Path, told: list[str], named: str
) -> None:
    pages = {f"bob/{n}.md": f"---\ncreator: {name}\n---\nWords." for n, name in enumerate(told)}
    write_files(tmp_path, pages)
    assert read_folders(tmp_path).creators == {"bob": named}
