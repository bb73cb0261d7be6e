"""Ingestion of a library made to break it: each bad file is reported, and the rest goes in."""

import json
import os
from pathlib import Path

import asyncpg
import pytest

from app.services.ingest.bounds import MAX_FILE_BYTES, MAX_INFO_BYTES, MAX_MANIFEST_BYTES, MAX_NAME
from app.services.ingest.discover.manifest import VIDEOS
from app.services.ingest.errors import UnusableLibrary
from app.services.ingest.report import summary
from tests.services.ingest.libraries import VTT, ingest, manifest_library, video, write_files

pytestmark = pytest.mark.anyio


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


async def test_files_that_cannot_be_used_are_broken_and_the_rest_goes_in(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(
        tmp_path,
        {
            "ann/good.vtt": VTT,
            "ann/info.vtt": VTT,
            "ann/nested.vtt": VTT,
            "ann/nested.info.json": '{"x": ' + "[" * 100_000,
            "ann/deep.md": f"---\na: {'[' * 40_000}\n---\nHello.\n",
            "ann/bomb.md": "---\na: &a [x]\nb: [*a, *a]\n---\nHello.\n",
            "ann/settings.srt": f"1\n00:00:01,000 --> 00:00:02,000 {'line:a' * 5_000} !\nHi.\n",
        },
    )
    sparse(tmp_path / "ann/large.vtt", MAX_FILE_BYTES + 1)
    sparse(tmp_path / "ann/info.info.json", MAX_INFO_BYTES + 1)
    (tmp_path / "ann" / os.fsdecode(b"\xff.vtt")).write_text(VTT)
    os.mkfifo(tmp_path / "ann/pipe.vtt")

    report = await ingest(database, tmp_path)

    reasons = dict(report.broken)
    assert reasons.pop("ann/nested.info.json").startswith("cannot be read: ")
    assert reasons == {
        "ann/\udcff.vtt": "its name is not UTF-8",
        "ann/bomb.md": "has an anchor in its front matter, which is not supported",
        "ann/deep.md": "has front matter with more than 20 levels",
        "ann/info.info.json": "is larger than 50 MB",
        "ann/large.vtt": "is larger than 20 MB",
    }
    assert (report.added, report.videos) == (2, 2)
    assert all(line.isprintable() for line in summary(report).splitlines())


async def test_odd_names_are_stored_without_control_and_direction_characters(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    odd = "Ann \x1b[2J\u202eeel\u2066"
    info = {
        "title": odd,
        "channel": odd,
        "tags": ["\u202e", odd],
        "webpage_url": f"https://a/{odd}",
    }
    page = json.dumps(
        {"title": f"{odd}\0", "creator": odd, "speakers": [odd], "url": "https://a/\0"}
    )
    write_files(
        tmp_path,
        {
            f"{odd}/a.vtt": VTT,
            f"{odd}/a.info.json": json.dumps(info),
            f"{odd}/b.md": f"---\n{page}\n---\nHello.\n",
            f"{odd}/c\n\x1b.md": "Hello.\n",
        },
    )

    report = await ingest(database, tmp_path)

    rows = await database.fetch(
        "SELECT c.name, d.title, t.name AS topic, d.url, d.speakers"
        " FROM documents d JOIN creators c ON c.id = d.creator_id LEFT JOIN topics t"
        " ON t.id = d.topic_id ORDER BY d.key"
    )
    clean = "Ann [2Jeel"
    assert report.broken == ()
    assert [tuple(row) for row in rows] == [
        (clean, clean, clean, None, []),
        (clean, clean, None, "https://a/", [clean]),
        (clean, "C", None, None, []),
    ]


async def test_names_in_a_manifest_are_bounded(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    long = "a" * 12_000
    bad = [
        video("long-path", path="transcripts/x.md"),
        video("nul-path", path="transcripts/x.md"),
        video("\0", path="transcripts/good.md"),
        video(long, path="transcripts/good.md"),
    ]
    good = video("good", creator=f"{long}\0", topic=f"{long}\0", speakers=[long] * 300)
    folder = manifest_library(tmp_path, good)
    good["title"] = f"{long}\0"
    bad[0]["path"], bad[1]["path"] = f"{long}.md", "transcripts/\0.md"
    (folder / VIDEOS).write_text("\n".join(map(json.dumps, [*bad, good])))

    report = await ingest(database, folder)

    assert [path for path, _ in report.broken] == [
        *(f"{long}.md", "transcripts/\0.md", "transcripts/good.md", "transcripts/good.md")
    ]
    row = await database.fetchrow(
        "SELECT length(c.slug), length(c.name), length(d.title), array_length(d.speakers, 1)"
        " FROM documents d JOIN creators c ON c.id = d.creator_id"
    )
    assert row is not None
    assert tuple(row) == (MAX_NAME, MAX_NAME, 300, 100)


async def test_large_or_linked_manifest_is_unusable(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    sparse(tmp_path / "videos", MAX_MANIFEST_BYTES + 1)
    library = tmp_path / "library"
    library.mkdir()
    (library / VIDEOS).symlink_to("../videos")

    with pytest.raises(UnusableLibrary, match="symbolic link"):
        await ingest(database, library)
    with pytest.raises(UnusableLibrary, match="larger than 200 MB"):
        await ingest(database, library, follow_links=True)


async def test_document_behind_a_link_is_pruned_unless_links_are_followed(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(tmp_path, {"secret.vtt": VTT})
    library = write_files(tmp_path / "library", {"ann/a.vtt": VTT})
    (library / "ann/b.vtt").symlink_to("../../secret.vtt")

    followed = await ingest(database, library, follow_links=True)
    left_out = await ingest(database, library, prune=True)

    assert (followed.videos, followed.links) == (2, ())
    assert (left_out.videos, left_out.removed, left_out.links) == (1, 1, ("ann/b.vtt",))


async def test_library_of_links_alone_names_the_option(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(tmp_path, {"outside/a.vtt": VTT})
    (tmp_path / "library").mkdir()
    (tmp_path / "library/ann").symlink_to("../outside")
    (tmp_path / "link").symlink_to("library")

    with pytest.raises(UnusableLibrary, match="--follow-links"):
        await ingest(database, tmp_path / "link")


async def test_long_word_becomes_bounded_passages(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(tmp_path, {"ann/a.md": "a" * 300_000, "ann/b.txt": "漢" * 30_000})

    report = await ingest(database, tmp_path)

    longest = await database.fetchval("SELECT max(length(sentences::text)) FROM passage_texts")
    assert report.broken == ()
    assert longest < 30_000
