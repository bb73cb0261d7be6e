"""Documents and passages as they are written to the database."""

import json
from pathlib import Path

import asyncpg
import pytest

from tests.services.ingest.libraries import (
    ATTACK,
    counts,
    ingest,
    manifest_library,
    titles,
    video,
    write_files,
)

pytestmark = pytest.mark.anyio


async def found(database: asyncpg.Connection, language: str, word: str) -> list[str]:
    rows = await database.fetch(
        "SELECT d.title FROM passages p JOIN documents d ON d.id = p.document_id"
        " WHERE p.search @@ plainto_tsquery($1::text::regconfig, $2) ORDER BY p.id",
        *(language, word),
    )
    return [row["title"] for row in rows]


async def versions(database: asyncpg.Connection) -> set[tuple[str, str, str]]:
    """Return which transaction wrote each row."""
    tables = "libraries creators topics documents passages terms languages"
    rows: set[tuple[str, str, str]] = set()
    for table in tables.split():
        found = await database.fetch(f"SELECT ctid::text, xmin::text FROM {table}")  # noqa: S608
        rows |= {(table, row["ctid"], row["xmin"]) for row in found}
    return rows


async def columns(database: asyncpg.Connection) -> list[tuple[object, ...]]:
    """Return the columns that searches use, of each passage."""
    rows = await database.fetch(
        "SELECT document_id, search, length, weights::text FROM passages ORDER BY document_id"
    )
    return [tuple(row) for row in rows]


async def test_library_is_written(database: asyncpg.Connection, folder: Path) -> None:
    report = await ingest(database, folder)

    assert (report.library, report.creators, report.videos, report.pages) == ("demo", 2, 2, 1)
    assert (report.passages, report.skipped, report.broken) == (4, 1, ())
    assert counts(report) == (3, 0, 0, 0)
    row = await database.fetchrow(
        "SELECT d.*, c.slug, c.name, c.name_key, t.slug AS topic FROM documents d"
        " JOIN creators c ON c.id = d.creator_id JOIN topics t ON t.id = d.topic_id"
        " WHERE d.title = 'Kompression erklärt'"
    )
    assert row is not None
    assert (row["slug"], row["name"], row["name_key"]) == ("jorg", "Jörg Klang", "jorg klang")
    assert (row["kind"], row["topic"], row["language"]) == ("video", "mixing", "de")
    assert (str(row["published"]), row["words"]) == ("2024-05-31", 4)


async def test_passages_are_stored_with_their_texts_and_search_vectors(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)

    rows = await database.fetch(
        "SELECT p.*, x.*, x.sentences::text AS sentences_json, d.creator_id = p.creator_id"
        "   AND d.topic_id = p.topic_id AS agrees"
        " FROM passages p JOIN documents d ON d.id = p.document_id"
        " JOIN passage_texts x ON x.passage_id = p.id ORDER BY d.title, p.ordinal"
    )
    assert all(row["agrees"] for row in rows)
    assert [row["language"] for row in rows] == ["german", "english", "english", "english"]
    talk = rows[1]
    assert (talk["start_seconds"], talk["ordinal"], talk["first_sentence"]) == (5.0, 0, 0)
    assert json.loads(talk["sentences_json"])[0] == [
        *("Bass traps go into the corners.", 5.0, 12.5, "Ann Lee"),
    ]
    # A stemmed word, words of a title and of a heading, a speaker's name.
    assert await found(database, "english", "attacking") == ["Side-chain the bass"]
    assert await found(database, "english", "modes") == ["Room modes"]
    assert await found(database, "english", "release") == ["Side-chain the bass"]
    assert await found(database, "english", "Lee") == ["Room modes"]
    assert await found(database, "german", "Kompressionen") == ["Kompression erklärt"]


async def test_words_are_counted_by_language(database: asyncpg.Connection, folder: Path) -> None:
    await ingest(database, folder)

    languages = await database.fetch("SELECT language, passages FROM languages ORDER BY language")
    assert [tuple(row) for row in languages] == [("english", 3), ("german", 1)]
    frequency = "SELECT passages FROM terms WHERE language = 'english' AND lexeme = $1"
    assert await database.fetchval(frequency, "bass") == 3
    assert await database.fetchval(frequency, "releas") == 1


async def test_unchanged_documents_are_not_written(
    database: asyncpg.Connection, folder: Path
) -> None:
    first = await ingest(database, folder)
    before = await versions(database)
    again = await ingest(database, folder)

    assert await versions(database) == before
    assert counts(again) == (0, 0, 3, 0)
    assert (again.passages, again.words) == (first.passages, first.words)


async def test_changed_file_replaces_its_passages(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    page = ATTACK.replace("compressor", "limiter").replace("Side-chain the", "Limit the")
    write_files(folder, {"mara-voss/attack.md": page})

    report = await ingest(database, folder)

    assert counts(report) == (0, 1, 2, 0)
    assert await titles(database) == ["Kompression erklärt", "Limit the bass", "Room modes"]
    assert await found(database, "english", "compressor") == []
    terms = "SELECT count(*) FROM terms WHERE lexeme = 'compressor'"
    assert await database.fetchval(terms) == 0


async def test_changed_metadata_replaces_the_document(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b")))
    manifest_library(tmp_path, video("a"), video("b", topic="Mastering", lang="ja"))

    report = await ingest(database, tmp_path)

    assert counts(report) == (0, 1, 1, 0)
    assert await database.fetchval("SELECT count(*) FROM topics WHERE name = 'Mastering'") == 1
    languages = await database.fetch("SELECT language, passages FROM languages ORDER BY language")
    assert [tuple(row) for row in languages] == [("english", 1), ("simple", 1)]


async def test_passages_are_found_by_the_names_of_the_creator_and_the_speakers(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    assert set(await found(database, "english", "Voss")) == {"Side-chain the bass", "Room modes"}
    assert await found(database, "german", "Jörg Klang") == ["Kompression erklärt"]
    assert await found(database, "english", "Ann Lee") == ["Room modes"]


async def test_creator_can_be_renamed(database: asyncpg.Connection, tmp_path: Path) -> None:
    talks = [video(str(n), speakers=["Ann Lee"]) for n in range(3)]
    await ingest(database, manifest_library(tmp_path, *talks, video("b", creator="Tom O")))
    write_files(tmp_path, {"creators.jsonl": '{"creator": "mara", "name": "Märamba V."}'})

    report = await ingest(database, tmp_path)

    assert counts(report) == (0, 0, 4, 0)
    row = await database.fetchrow("SELECT name, name_key FROM creators WHERE slug = 'mara'")
    assert row is not None
    assert tuple(row) == ("Märamba V.", "maramba v.")


async def test_passages_are_found_by_the_new_name_of_a_creator(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    talks = [video(str(n), speakers=["Ann Lee"]) for n in range(30)]
    await ingest(database, manifest_library(tmp_path, *talks, video("tom", creator="Tom O")))
    # Fewer passages than those that are counted again by themselves.
    write_files(tmp_path, {"creators.jsonl": '{"creator": "Tom O", "name": "Cornelius"}'})
    await ingest(database, tmp_path)
    renamed = await columns(database)

    assert await found(database, "english", "Cornelius") == ["Talk tom"]
    assert await found(database, "english", "Tom Ö") == []
    frequency = "SELECT passages FROM terms WHERE lexeme = 'cornelius'"
    assert await database.fetchval(frequency) == 1
    # As if it had been written with this name.
    await database.execute("UPDATE documents SET content_hash = ''")
    await ingest(database, tmp_path)
    assert await columns(database) == renamed


async def test_missing_documents_stay_until_they_are_pruned(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    (folder / "Jörg/Kompression [dQw4w9WgXcQ].de.vtt").unlink()

    kept = await ingest(database, folder)
    assert (counts(kept), kept.videos) == ((0, 0, 2, 0), 2)

    pruned = await ingest(database, folder, prune=True)
    assert (counts(pruned), pruned.videos, pruned.creators) == ((0, 0, 2, 1), 1, 1)
    assert await database.fetchval("SELECT count(*) FROM creators") == 1
    assert await database.fetchval("SELECT count(*) FROM topics WHERE slug = 'mixing'") == 0
    languages = await database.fetch("SELECT language FROM languages")
    assert [row["language"] for row in languages] == ["english"]
    assert await database.fetchval("SELECT count(*) FROM terms WHERE language = 'german'") == 0


async def test_broken_file_is_reported_and_not_pruned(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    write_files(folder, {"mara-voss/attack.md": b"a\0b", "mara-voss/empty.txt": b""})

    report = await ingest(database, folder, prune=True)

    assert report.broken == (
        ("mara-voss/attack.md", "contains a NUL character, so it is not text"),
        ("mara-voss/empty.txt", "contains no text"),
    )
    assert (counts(report), report.pages) == ((0, 0, 2, 0), 1)


async def test_manifest_entry_without_a_file_is_broken(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b")))
    (tmp_path / "transcripts/a.md").unlink()

    report = await ingest(database, tmp_path, prune=True)

    assert [path for path, _ in report.broken] == ["transcripts/a.md"]
    assert (counts(report), report.videos) == ((0, 0, 1, 0), 2)


REJECT_A = """
CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER reject BEFORE INSERT ON documents FOR EACH ROW WHEN (new.key = 'a')
EXECUTE FUNCTION reject();
"""


async def test_document_rejected_by_the_database_does_not_stop_the_run(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = manifest_library(tmp_path, video("a"), video("b"))
    await database.execute(REJECT_A)

    report = await ingest(database, folder)

    assert (counts(report), len(report.broken)) == ((1, 0, 0, 0), 1)
