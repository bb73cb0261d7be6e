"""Listing of a library that has one folder per creator."""

import datetime
import json
import os
from pathlib import Path

import pytest

from app.services.ingest.discover.folders import read_folders
from app.services.ingest.entry import LibraryEntry
from app.services.ingest.files import LibraryFolder
from tests.services.ingest.libraries import (
    ATTACK,
    INFO,
    VTT,
    plain_library,
    write_files,
)


def test_each_folder_is_a_creator(tmp_path: Path) -> None:
    listing = read_folders(LibraryFolder(plain_library(tmp_path)))

    assert listing.creators == {"mara-voss": "Mara Voss", "jorg": "Jörg Klang"}
    assert sorted(listing.keys) == [
        "Jörg/Kompression [dQw4w9WgXcQ].de.vtt",
        "mara-voss/attack.md",
        "mara-voss/talks/modes.md",
    ]
    assert (listing.skipped, listing.broken) == (1, ())


def test_documents_outside_creators_folders_are_listed_as_unassigned(
    tmp_path: Path,
) -> None:
    plain_library(tmp_path)
    documents = {"guest.md": ATTACK, "Talk.VTT": VTT, "...txt": "hidden", "!.srt": VTT}
    others = ("README.md", "readme-de.txt", "LICENSE.md", "Licence-MIT.txt", "cover.png", "x.json")
    write_files(tmp_path, {**documents, **dict.fromkeys(others, "Words.")})

    listing = read_folders(LibraryFolder(tmp_path))

    assert listing.unassigned == ("!.srt", "Talk.VTT", "guest.md")
    assert (len(listing.keys), listing.broken) == (3, ())


def test_info_file_beside_captions_describes_them(tmp_path: Path) -> None:
    listing = read_folders(LibraryFolder(plain_library(tmp_path)))

    path = "Jörg/Kompression [dQw4w9WgXcQ].de.vtt"
    assert next(entry for entry in listing.entries if entry.key == path) == LibraryEntry(
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


def test_youtube_video_without_a_url_gets_one_from_its_id(tmp_path: Path) -> None:
    info = {**INFO, "webpage_url": None, "extractor": "youtube", "tags": []}
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(info)})

    (entry,) = read_folders(LibraryFolder(tmp_path)).entries

    assert (entry.url, entry.topic, entry.language) == (
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "Music",
        "en",
    )


def test_creator_without_a_stated_name_is_named_after_the_folder(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann_lee/a.vtt": VTT, "empty/none.png": b"\0", ".git/a.vtt": VTT})

    listing = read_folders(LibraryFolder(tmp_path))

    assert (listing.creators, listing.fallback_names) == ({}, {"ann-lee": "Ann lee"})


@pytest.mark.parametrize("broken", ['{"title": "Ha', "[]", None])
def test_document_with_a_broken_description_is_not_listed_but_its_key_is(
    tmp_path: Path, broken: str | None
) -> None:
    write_files(tmp_path, {"ann/a.en.vtt": VTT, "ann/b.vtt": VTT})
    if broken is None:
        (tmp_path / "ann/a.info.json").symlink_to("gone.json")
    else:
        write_files(tmp_path, {"ann/a.info.json": broken})

    listing = read_folders(LibraryFolder(tmp_path, follow_links=True))

    assert [path for path, _ in listing.broken] == ["ann/a.info.json"]
    assert [entry.key for entry in listing.entries] == ["ann/b.vtt"]
    assert listing.keys == {"ann/a.en.vtt", "ann/b.vtt"}


def test_invalid_fields_of_a_description_are_ignored(tmp_path: Path) -> None:
    info = {**INFO, "id": 5, "tags": ["a", None], "webpage_url": "javascript:alert(1)"}
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(info)})

    listing = read_folders(LibraryFolder(tmp_path))

    (entry,) = listing.entries
    assert (entry.title, entry.topic, entry.url) == ("Kompression erklärt", "Music", None)
    assert listing.broken == ()


def test_broken_links_are_reported_and_their_documents_may_still_exist(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT})
    (tmp_path / "bob").symlink_to("missing")
    (tmp_path / "ann/b.vtt").symlink_to("b.vtt")
    (tmp_path / "ann/talks").symlink_to("missing")

    listing = read_folders(LibraryFolder(tmp_path, follow_links=True))

    assert [path for path, _ in listing.broken] == ["ann/b.vtt", "ann/talks", "bob"]
    assert all(reason.startswith("cannot be read: ") for _, reason in listing.broken)
    kept = ["ann/a.vtt", "ann/b.vtt", "ann/talks/c.vtt", "bob/d.vtt"]
    assert [key for key in (*kept, "bobby/e.vtt", "ann/f.vtt") if listing.may_contain(key)] == kept


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file that cannot be read")
def test_unreadable_files_do_not_stop_the_listing(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/b.vtt": VTT})
    for name in ("a.md", "notes.docbook"):
        (tmp_path / "ann" / name).symlink_to("/proc/self/mem")

    listing = read_folders(LibraryFolder(tmp_path, follow_links=True))

    assert [path for path, _ in listing.broken] == ["ann/notes.docbook"]
    assert [entry.key for entry in listing.entries] == ["ann/a.md", "ann/b.vtt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_unreadable_folders_do_not_stop_the_listing(tmp_path: Path) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/talks/b.vtt": VTT, "bob/c.vtt": VTT})
    (tmp_path / "ann/talks").chmod(0)
    (tmp_path / "bob").chmod(0)

    listing = read_folders(LibraryFolder(tmp_path))
    for path in ("ann/talks", "bob"):
        (tmp_path / path).chmod(0o700)

    assert [path for path, _ in listing.broken] == ["ann/talks", "bob"]
    assert listing.may_contain("ann/talks/b.vtt")
    assert listing.may_contain("bob/c.vtt")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["Guest Gwen", "Bob the Turner", "Bob the Turner"], "Bob the Turner"),
        (["Guest Gwen", "Guest Gwen", "BÖB"], "BÖB"),
    ],
)
def test_guest_page_does_not_rename_a_creator(
    tmp_path: Path, stated: list[str], expected: str
) -> None:
    pages = {f"bob/{n}.md": f"---\ncreator: {name}\n---\nWords." for n, name in enumerate(stated)}
    write_files(tmp_path, pages)
    assert read_folders(LibraryFolder(tmp_path)).creators == {"bob": expected}
