"""Ingestion runs: pruning, interruption, and files that cannot be read."""

import json
import sys
from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.ingest.errors import MissingParsers, UnusableLibrary
from app.services.ingest.progress import Progress
from tests.services.ingest.libraries import (
    ATTACK,
    INFO,
    VTT,
    counts,
    ingest,
    manifest_library,
    titles,
    video,
    write_files,
)

pytestmark = pytest.mark.anyio


async def test_documents_behind_broken_links_are_not_pruned(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = write_files(
        tmp_path / "demo",
        {"ann/a.vtt": VTT, "ann/b.vtt": VTT, "ann/gone.vtt": VTT, "bob/c.vtt": VTT},
    )
    with anyio.fail_after(30):
        await ingest(database, folder, follow_links=True)
        (folder / "bob").rename(tmp_path / "bob")
        (folder / "bob").symlink_to("missing")
        (folder / "ann/b.vtt").unlink()
        (folder / "ann/b.vtt").symlink_to("missing")
        (folder / "ann/gone.vtt").unlink()

        report = await ingest(database, folder, prune=True, follow_links=True)

    assert [path for path, _ in report.broken] == ["ann/b.vtt", "bob"]
    assert (report.unchanged, report.removed, report.videos) == (1, 1, 3)


async def test_document_with_a_broken_description_stays_unchanged(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(INFO)})
    with anyio.fail_after(30):
        await ingest(database, tmp_path)
        write_files(tmp_path, {"ann/a.info.json": json.dumps(INFO)[:40]})

        report = await ingest(database, tmp_path, prune=True)

    assert [path for path, _ in report.broken] == ["ann/a.info.json"]
    assert (report.changed, report.removed, report.videos) == (0, 0, 1)
    row = await database.fetchrow(
        "SELECT d.title, c.name FROM documents d JOIN creators c ON c.id = d.creator_id"
    )
    assert row is not None
    assert tuple(row) == ("Kompression erklärt", "Jörg Klang")


async def test_folder_name_does_not_replace_a_stated_creator_name(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    page = ATTACK.replace("Mara Voss", "Mára Voß")
    one = write_files(tmp_path / "one", {"mara-voss/attack.md": page})
    two = write_files(tmp_path / "two", {"mara-voss/a.vtt": VTT, "tom/b.vtt": VTT})
    with anyio.fail_after(30):
        for folder in (one, two):
            await ingest(database, folder)
        names = await database.fetch("SELECT name FROM creators ORDER BY slug")
        assert [row["name"] for row in names] == ["Mára Voß", "Tom"]

        write_files(two, {"tom/c.md": "---\ncreator: Tom Ö.\n---\nHello.\n"})
        await ingest(database, two)

    names = await database.fetch("SELECT name FROM creators ORDER BY slug")
    assert [row["name"] for row in names] == ["Mára Voß", "Tom Ö."]


@pytest.mark.parametrize("path", ["missing", "empty"])
async def test_missing_or_empty_folder_prunes_nothing(
    database: asyncpg.Connection, folder: Path, tmp_path: Path, path: str
) -> None:
    await ingest(database, folder)
    (tmp_path / "empty").mkdir()

    with pytest.raises(UnusableLibrary):
        await ingest(database, tmp_path / path, name="demo", prune=True)

    assert len(await titles(database)) == 3


async def test_interrupted_run_continues_with_the_remaining_documents(
    database: asyncpg.Connection, folder: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        await ingest(database, folder, on_progress=interrupt)
    assert await database.fetchval("SELECT count(*) FROM languages WHERE NOT stale") == 0

    report = await ingest(database, folder)

    assert counts(report) == (1, 0, 2, 0)
    assert await database.fetchval("SELECT sum(passages) FROM languages") == report.passages


async def test_words_left_uncounted_by_an_interrupted_run_are_counted_by_the_next(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    await database.execute("DELETE FROM terms; UPDATE languages SET stale = true, counted_to = 0")

    report = await ingest(database, folder)

    assert counts(report) == (0, 0, 3, 0)
    assert await database.fetchval("SELECT count(*) FROM languages WHERE stale") == 0
    assert await database.fetchval("SELECT count(*) FROM terms WHERE language = 'german'") > 0


async def test_many_files_are_parsed_in_other_processes(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    names = [f"t{number:02}" for number in range(45)]
    folder = manifest_library(tmp_path, *(video(name) for name in names))
    write_files(folder, {"transcripts/t07.md": b""})
    done: list[str] = []

    report = await ingest(database, folder, on_progress=lambda progress: done.append(progress.path))

    assert report.broken == (("transcripts/t07.md", "contains no text"),)
    assert (report.added, report.videos) == (44, 44)
    assert [path for path in done if path] == [f"transcripts/{name}.md" for name in names]


async def test_missing_parser_is_reported_with_the_command_that_installs_it(
    database: asyncpg.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webvtt", None)

    with pytest.raises(MissingParsers, match=r"pip install 'chrysopedia-chat\[ingest\]'"):
        await ingest(database, folder)
