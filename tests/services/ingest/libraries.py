"""Libraries for tests, and helpers to ingest and inspect them."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import asyncpg

from app.services.ingest import run
from app.services.ingest.progress import Progress
from app.services.ingest.report import Report
from app.services.ingest.store.indexer import Indexer


def ignore_progress(progress: Progress) -> None:
    pass


# Without embeddings.
ingest = partial(run.ingest, indexer=Indexer(pgvector=True), on_progress=ignore_progress)

ATTACK = """---
title: Side-chain the bass
topic: Side-chain compression
url: https://example.com/attack
language: en
date: 2024-05-31
creator: Mara Voss
---

## Attack

Set the attack of the compressor to 10 ms. The kick stays in front, and the bass makes room.
Shorter attacks make a click, so lengthen it where you hear one.

## Release

Let the compressor open again before the next kick. At 124 BPM that takes about 480 ms.
A release of 100 to 200 ms is a good start for most bass lines in house music.
"""
TALK = """---
title: Room modes
speakers: [Ann Lee]
tags: [acoustics]
media: https://www.youtube.com/watch?v=abcdefghijk
---

Ann: 00:00:05

Bass traps go into the corners. That is where the pressure is.

Bob: 00:00:20

How thick must they be?
"""
VTT = """WEBVTT

00:00:01.000 --> 00:00:04.000
Die Kompression beginnt hier.
"""
INFO = {
    "id": "dQw4w9WgXcQ",
    "title": "Kompression erklärt",
    "channel": "Jörg Klang",
    "webpage_url": "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "upload_date": "20240531",
    "tags": ["Mixing", "Bass"],
    "categories": ["Music"],
    "language": "en",
}


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files by their paths, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def plain_library(folder: Path) -> Path:
    """Write a library of folders: a page, a written talk, and captions with yt-dlp's files."""
    return write_files(
        folder,
        {
            "mara-voss/attack.md": ATTACK,
            "mara-voss/talks/modes.md": TALK,
            "Jörg/Kompression [dQw4w9WgXcQ].de.vtt": VTT,
            "Jörg/Kompression [dQw4w9WgXcQ].info.json": json.dumps(INFO),
            "Jörg/cover.png": b"\x89PNG\r\n\x1a\n\0\0",
            "Jörg/notes.docbook": "<para>An unsupported format.</para>",
            "Jörg/.DS_Store": "hidden",
            "Jörg/LICENSE": "MIT",
        },
    )


def manifest_library(folder: Path, *videos: dict[str, object]) -> Path:
    """Write a library with a manifest; the transcript of each video contains its title."""
    creators = [{"creator": "mara", "name": "Mara Voss"}, {"creator": "Tom O", "name": "Tom Ö."}]
    return write_files(
        folder,
        {
            "creators.jsonl": "\n".join(map(json.dumps, creators)),
            "videos.jsonl": "\n".join(map(json.dumps, videos)) + "\n",
            **{
                str(video["path"]): f"## Start\n\nHello, this is {video['title']}.\n"
                for video in videos
            },
        },
    )


def video(key: str, **fields: object) -> dict[str, object]:
    """Return a line of `videos.jsonl`."""
    return {
        "video": key,
        "creator": "mara",
        "title": f"Talk {key}",
        "topic": "mixing-bass",
        "path": f"transcripts/{key}.md",
        "lang": "en",
        "words": 5,
        **fields,
    }


def counts(report: Report) -> tuple[int, int, int, int]:
    """Return the numbers of added, changed, unchanged and removed documents."""
    return report.added, report.changed, report.unchanged, report.removed


async def titles(database: asyncpg.Connection) -> list[str]:
    """Return the titles of all documents in order."""
    rows = await database.fetch("SELECT title FROM documents ORDER BY title")
    return [row["title"] for row in rows]
