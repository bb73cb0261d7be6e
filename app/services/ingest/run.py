"""Ingest a library's folder: discover, parse and store its documents.

Files that have not changed since the last run are read, but neither parsed nor written.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from msgspec import Struct
from msgspec.structs import asdict

from app.infra.database import Connection
from app.services.ingest.discover.folders import read_folders
from app.services.ingest.discover.listing import LibraryListing
from app.services.ingest.discover.manifest import has_manifest, read_manifest
from app.services.ingest.entry import LibraryEntry, read_file
from app.services.ingest.errors import BrokenFile, MissingParsers, UnusableLibrary
from app.services.ingest.files import LibraryFolder
from app.services.ingest.lock import ingestion_lock
from app.services.ingest.parse.document import Document, content_hash
from app.services.ingest.parse.parallel import parse_files
from app.services.ingest.progress import Progress, ProgressCallback
from app.services.ingest.report import Report
from app.services.ingest.store.documents import (
    delete_documents,
    rename_creators,
    replace_document,
    text_search_configurations,
)
from app.services.ingest.store.indexer import Indexer
from app.services.ingest.store.libraries import (
    LibraryContent,
    content_hashes,
    count_content,
    library_for_folder,
)
from app.services.ingest.store.term_statistics import stale_languages

log = logging.getLogger(__name__)

PARSERS = ("charset_normalizer", "markdown_it", "py3langid", "webvtt", "yaml")

CREATOR_NAMES = "SELECT slug, name FROM creators"


class _Outcome(Struct):
    """Keys of the written documents, broken files with reasons, and languages to refresh."""

    written: list[str]
    broken: list[tuple[str, str]]
    languages: set[str]


async def ingest(
    connection: Connection,
    folder: Path,
    *,
    indexer: Indexer,
    on_progress: ProgressCallback,
    name: str | None = None,
    prune: bool = False,
    follow_links: bool = False,
) -> Report:
    """Bring the library of a folder up to date in the database.

    The library is named after the folder unless a name is given. With `prune`, documents that are
    no longer in the folder are deleted, except those that may only be unreadable. Symbolic links
    are left out unless `follow_links` is set. Raises IngestError if the run cannot continue; the
    documents written before stay.
    """
    started = time.monotonic()
    if not all(map(find_spec, PARSERS)):
        raise MissingParsers
    files = LibraryFolder(await asyncio.to_thread(folder.resolve), follow_links)
    name = name or files.root.name
    async with ingestion_lock(connection, on_progress):
        embedder, indexer = indexer.embedder, await indexer.for_library(connection)
        if embedder and not indexer.embedder:
            log.warning(
                "not embedding: the library is embedded with a model that this release does not"
                " have; run `python -m app reindex` to embed all of it with %s",
                embedder.name,
            )
        on_progress(Progress("reading"))
        listing = await asyncio.to_thread(_list_folder, files)
        library = await library_for_folder(connection, name, files.root)
        hashes = await content_hashes(connection, library)
        changed, broken = await asyncio.to_thread(_find_changed, files, listing.entries, hashes)
        outcome = _Outcome([], broken, await stale_languages(connection))
        outcome.languages |= await rename_creators(
            connection, listing.creators, pgvector=indexer.pgvector
        )
        async with aclosing(parse_files(files, changed)) as documents:
            await _write(
                connection,
                library,
                listing,
                documents,
                outcome,
                total=len(changed),
                on_progress=on_progress,
                pgvector=indexer.pgvector,
            )
        removed = {key for key in hashes if prune and not listing.may_contain(key)}
        if removed:
            outcome.languages |= await delete_documents(connection, library, removed)
        await indexer.update(connection, outcome.languages, on_progress)
        content = await count_content(connection, library)
    seconds = time.monotonic() - started
    return _report(name, content, listing, hashes, outcome, removed=len(removed), seconds=seconds)


def _list_folder(folder: LibraryFolder) -> LibraryListing:
    if not folder.root.is_dir():
        raise UnusableLibrary(f"{folder.root} is not an existing folder")
    try:
        listing = read_manifest(folder) if has_manifest(folder) else read_folders(folder)
    except OSError as error:
        raise UnusableLibrary(f"{folder.root} cannot be read: {error.strerror}") from None
    if not listing.keys:
        # Probably the wrong folder or an unmounted disk: pruning would delete all documents.
        links = "; --follow-links reads the symbolic links in it" if listing.links else ""
        raise UnusableLibrary(
            f"{folder.root} has no pages or transcripts; add a folder for each creator,"
            f" or a manifest (videos.jsonl){links}"
        )
    return listing


def _find_changed(
    folder: LibraryFolder, entries: Sequence[LibraryEntry], hashes: Mapping[str, bytes]
) -> tuple[list[LibraryEntry], list[tuple[str, str]]]:
    """Return the entries that differ from what was written, and the files that are unreadable."""
    changed: list[LibraryEntry] = []
    broken: list[tuple[str, str]] = []
    for entry in entries:
        try:
            if content_hash(entry, read_file(folder, entry)) != hashes.get(entry.key):
                changed.append(entry)
        except BrokenFile as error:
            broken.append((entry.path, str(error)))
    return changed, broken


async def _write(
    connection: Connection,
    library: int,
    listing: LibraryListing,
    documents: AsyncIterator[tuple[LibraryEntry, Document | str]],
    outcome: _Outcome,
    *,
    total: int,
    on_progress: ProgressCallback,
    pgvector: bool,
) -> None:
    configurations = await text_search_configurations(connection)
    # A name derived from a folder does not replace one that another library states.
    stored = {row["slug"]: row["name"] for row in await connection.fetch(CREATOR_NAMES)}
    names = {**listing.fallback_names, **stored, **listing.creators}
    done = 0
    async for entry, document in documents:
        if isinstance(document, str):
            outcome.broken.append((entry.path, document))
        else:
            name = names[entry.creator]
            try:
                outcome.languages |= await replace_document(
                    connection, library, document, name, configurations, pgvector=pgvector
                )
                outcome.written.append(entry.key)
            except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
                outcome.broken.append((entry.path, f"is rejected by the database: {error}"))
        done += 1
        on_progress(Progress("documents", done, total, entry.path))


def _report(
    name: str,
    content: LibraryContent,
    listing: LibraryListing,
    hashes: Mapping[str, bytes],
    outcome: _Outcome,
    *,
    removed: int,
    seconds: float,
) -> Report:
    changed = sum(key in hashes for key in outcome.written)
    return Report(
        library=name,
        **asdict(content),
        added=len(outcome.written) - changed,
        changed=changed,
        unchanged=len(listing.entries) - len(outcome.written) - len(outcome.broken),
        removed=removed,
        broken=(*listing.broken, *outcome.broken),
        skipped=listing.skipped,
        unassigned=listing.unassigned,
        links=listing.links,
        seconds=seconds,
    )
