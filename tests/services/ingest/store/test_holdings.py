"""The numbers of videos and pages that are stored with each creator."""

from pathlib import Path

import asyncpg
import pytest

from app.infra.database import migrate
from app.services.ingest.store.libraries import delete_library, find_library
from tests.services.ingest.libraries import ingest, manifest_library, video, write_files

pytestmark = pytest.mark.anyio

# As in a database of schema version 3.
DOWNGRADE = """
ALTER TABLE creators DROP COLUMN videos, DROP COLUMN pages;
DROP INDEX creators_slug;
DELETE FROM schema_migrations WHERE version >= 5;
"""


async def stored(database: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Return each creator's numbers of videos and pages, which must be those of the documents."""
    rows = await database.fetch(
        """
        SELECT slug, videos, pages,
               (SELECT count(*) FROM documents WHERE creator_id = c.id AND kind = 'video')
                   AS counted_videos,
               (SELECT count(*) FROM documents WHERE creator_id = c.id AND kind = 'page')
                   AS counted_pages
        FROM creators c ORDER BY slug
        """
    )
    for row in rows:
        assert (row["videos"], row["pages"]) == (row["counted_videos"], row["counted_pages"])
    return {row["slug"]: (row["videos"], row["pages"]) for row in rows}


async def test_videos_and_pages_are_counted(database: asyncpg.Connection, folder: Path) -> None:
    await ingest(database, folder)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (1, 1)}
    # Written again.
    await database.execute("UPDATE documents SET content_hash = ''")
    await ingest(database, folder)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (1, 1)}


async def test_document_that_moves_to_another_creator_is_counted_there(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b"), video("c")))
    assert await stored(database) == {"mara": (3, 0)}

    moved = video("b", creator="Tom O")
    await ingest(database, manifest_library(tmp_path, video("a"), moved, video("c")))

    assert await stored(database) == {"mara": (2, 0), "tom-o": (1, 0)}


async def test_document_of_another_kind_is_counted_as_such(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    page = "---\ntitle: Room modes\n---\n\nBass traps go into the corners of the room.\n"
    write_files(folder, {"mara-voss/talks/modes.md": page})
    await ingest(database, folder)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (0, 2)}


async def test_pruned_documents_are_not_counted(database: asyncpg.Connection, folder: Path) -> None:
    await ingest(database, folder)
    (folder / "mara-voss/attack.md").unlink()
    await ingest(database, folder)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (1, 1)}
    await ingest(database, folder, prune=True)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (1, 0)}


async def test_holdings_are_kept_when_a_creator_is_renamed(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b")))
    write_files(tmp_path, {"creators.jsonl": '{"creator": "mara", "name": "Mara V."}'})
    await ingest(database, tmp_path)
    assert await stored(database) == {"mara": (2, 0)}


async def test_documents_of_a_deleted_library_are_not_counted(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        await ingest(database, manifest_library(tmp_path / name, video(name), video("both")))
    assert await stored(database) == {"mara": (4, 0)}

    library = await find_library(database, "one")
    assert library
    await delete_library(database, library[0], pgvector=True)

    assert await stored(database) == {"mara": (2, 0)}


async def test_document_that_the_database_rejects_is_not_counted(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b")))
    rejection = "1 / (url NOT LIKE '%rejected')::int = 1"
    await database.execute(f"ALTER TABLE documents ADD CHECK ({rejection})")
    rejected = video("b", creator="Tom O", url="https://example.com/rejected")
    await ingest(database, manifest_library(tmp_path, video("a"), rejected))
    assert (await stored(database))["mara"] == (2, 0)


async def test_holdings_of_an_older_library_are_counted(
    database: asyncpg.Connection, folder: Path
) -> None:
    await ingest(database, folder)
    await database.execute(DOWNGRADE)
    await migrate(database)
    assert await stored(database) == {"jorg": (1, 0), "mara-voss": (1, 1)}
