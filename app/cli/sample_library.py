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


async def update_sample_library(library: Library) -> Report | None:
    """Ingest the sample library, or remove it if there is another. Raises CommandError."""
    if await _has_other_libraries(library):
        await _remove(library)
        return None
    with as_file(files("app").joinpath(SAMPLE_FOLDER)) as folder:
        # The project may have been installed in another folder before.
        await library.connection.execute(SET_FOLDER, SAMPLE, str(folder.resolve()))
        return await ingest_folder(library, folder, name=SAMPLE)


async def remove_sample_library(library: Library) -> None:
    """Remove the sample library if there is another library. Raises CommandError."""
    if await _has_other_libraries(library):
        await _remove(library)


async def _has_other_libraries(library: Library) -> bool:
    return bool(await library.connection.fetchval(HAS_OTHER_LIBRARIES, SAMPLE))


async def _remove(library: Library) -> None:
    known = await find_library(library.connection, SAMPLE)
    if known is None:
        return
    with show_progress() as progress:
        async with ingestion_lock(library.connection, progress):
            await delete_library(library.connection, known[0], pgvector=library.indexer.pgvector)
            await library.indexer.update(library.connection, (), progress)
    print("Your library has replaced the sample library.", flush=True)
