"""The libraries in the database: their folders and their contents."""

import asyncio
from pathlib import Path

from msgspec import Struct

from app.infra.database import Connection
from app.services.ingest.errors import NameTaken
from app.services.ingest.store.documents import STATEMENT_TIMEOUT, delete_documents
from app.services.ingest.store.term_statistics import refresh_statistics

# $1 name
FIND_LIBRARY = "SELECT id, path FROM libraries WHERE name = $1"

# $1 name · $2 path
UPSERT_LIBRARY = """
INSERT INTO libraries (name, path) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET path = excluded.path
RETURNING id
"""

# $1 library
CONTENT_HASHES = "SELECT key, content_hash FROM documents WHERE library_id = $1"

# $1 library
COUNT_CONTENT = """
SELECT count(DISTINCT creator_id) AS creators,
       count(*) FILTER (WHERE kind = 'video') AS videos,
       count(*) FILTER (WHERE kind = 'page') AS pages,
       coalesce(sum(words), 0) AS words,
       (SELECT count(*) FROM passages p JOIN documents own ON own.id = p.document_id
        WHERE own.library_id = $1) AS passages
FROM documents
WHERE library_id = $1
"""

# $1 library
DELETE_LIBRARY = "DELETE FROM libraries WHERE id = $1"


class LibraryContent(Struct, frozen=True):
    """How much a library contains; words count once, though passages overlap."""

    creators: int
    videos: int
    pages: int
    passages: int
    words: int


async def find_library(connection: Connection, name: str) -> tuple[int, str] | None:
    """Return a library's id and the folder that it was last read from, if there is one."""
    row = await connection.fetchrow(FIND_LIBRARY, name)
    return (row["id"], row["path"]) if row else None


async def save_library(connection: Connection, name: str, path: str) -> int:
    """Add a library, or change the folder that it is read from; return its id."""
    library: int = await connection.fetchval(UPSERT_LIBRARY, name, path)
    return library


async def library_for_folder(connection: Connection, name: str, folder: Path) -> int:
    """Return the id of the library with this name and folder, adding it if needed.

    Raises NameTaken if the name belongs to another folder that still exists.
    """
    found = await find_library(connection, name)
    if found is not None:
        library, path = found
        if path == str(folder):
            return library
        if await asyncio.to_thread(_is_other_folder, Path(path), folder):
            raise NameTaken(
                f"the library {name!r} was read from the folder {path};"
                " choose another name for this one with --name"
            )
    return await save_library(connection, name, str(folder))


def _is_other_folder(path: Path, folder: Path) -> bool:
    return path.is_dir() and not path.samefile(folder)


async def content_hashes(connection: Connection, library: int) -> dict[str, bytes]:
    """Return the content hash of each document of a library by its key."""
    rows = await connection.fetch(CONTENT_HASHES, library)
    return {row["key"]: row["content_hash"] for row in rows}


async def count_content(connection: Connection, library: int) -> LibraryContent:
    """Count what a library contains."""
    (row,) = await connection.fetch(COUNT_CONTENT, library, timeout=STATEMENT_TIMEOUT)
    return LibraryContent(**row)


async def delete_library(connection: Connection, library: int, *, pgvector: bool) -> None:
    """Delete a library with its documents."""
    async with connection.transaction():
        keys = await content_hashes(connection, library)
        changed = await delete_documents(connection, library, keys)
        await connection.execute(DELETE_LIBRARY, library)
        await refresh_statistics(connection, changed, pgvector=pgvector)
