"""The sample library: it is in an embedded database until the user ingests another library."""

from importlib.resources import as_file, files

from app.cli.library import Library, ingest_folder, show_progress
from app.services.ingest.lock import ingestion_lock
from app.services.ingest.report import Report
from app.services.ingest.store.libraries import delete_library, find_library

# Unlikely as a folder name, so that no user's library has the same name.
SAMPLE = "(sample)"
SAMPLE_FOLDER = "sample_library"

# $1 the sample library's name
HAS_OTHER_LIBRARIES = """
SELECT EXISTS (
    SELECT FROM libraries l
    WHERE name <> $1 AND EXISTS (SELECT FROM documents WHERE library_id = l.id))
"""
# $1 a library's name · $2 its folder
SET_FOLDER = "UPDATE libraries SET path = $2 WHERE name = $1"


async def drop_retired_sample_embeddings(library: Library) -> None:
    """Make the sample library embed again after an upgrade, which takes seconds.

    Does nothing if there is another library, which may take many minutes: `reindex` embeds it.
    """
    if not await library.connection.fetchval(HAS_OTHER_LIBRARIES, SAMPLE):
        await library.indexer.drop_retired_indexes(library.connection)


async def update_sample_library(library: Library) -> Report | None:
    """Ingest the sample library, or remove it if there is another. Raises CommandError."""
    if await remove_sample_library(library):
        return None
    with as_file(files("app").joinpath(SAMPLE_FOLDER)) as folder:
        # The project may have been installed in another folder before.
        await library.connection.execute(SET_FOLDER, SAMPLE, str(folder.resolve()))
        return await ingest_folder(library, folder, name=SAMPLE)


async def remove_sample_library(library: Library) -> bool:
    """Remove the sample library if there is another library, and return whether there is.

    Raises CommandError.
    """
    connection, indexer = library.connection, library.indexer
    if not await connection.fetchval(HAS_OTHER_LIBRARIES, SAMPLE):
        return False
    if sample := await find_library(connection, SAMPLE):
        with show_progress() as progress:
            async with ingestion_lock(connection, progress):
                await delete_library(connection, sample[0], pgvector=indexer.pgvector)
                indexer = await indexer.for_library(connection)
                await indexer.update(connection, (), progress)
        print("Your library has replaced the sample library.", flush=True)
    return True
