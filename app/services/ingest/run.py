"""A library's folder comes in; its documents in PostgreSQL, and a report on them, are what comes.

Files that have not changed since the last run are read, but neither parsed nor written.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from msgspec import Struct
from msgspec.structs import asdict

from app.infra.database import Connection
from app.services.ingest.discover.entries import Entry, Listing, content_hash, load
from app.services.ingest.discover.folders import read_folders
from app.services.ingest.discover.manifest import has_manifest, read_manifest
from app.services.ingest.errors import BrokenFile, MissingParsers, UnusableLibrary
from app.services.ingest.lock import ingestion_lock, library_of
from app.services.ingest.parse.documents import Document
from app.services.ingest.parse.parallel import parsed
from app.services.ingest.report import Progress, Report
from app.services.ingest.store import index, write
from app.services.ingest.store.indexing import Indexing

PARSERS = ("charset_normalizer", "frontmatter", "markdown_it", "py3langid", "pysubs2", "webvtt")


CREATORS = "SELECT slug, name FROM creators"


class Tally(Struct):
    """What a run has done so far: keys written, files that are broken, languages to count anew."""

    written: list[str]
    broken: list[tuple[str, str]]
    languages: set[str]


def _silent(progress: Progress) -> None:
    pass


async def ingest(
    connection: Connection,
    folder: Path,
    *,
    indexing: Indexing,
    name: str | None = None,
    prune: bool = False,
    report: Callable[[Progress], None] = _silent,
) -> Report:
    """Bring the library of a folder up to date in the database.

    The library's name is the folder's unless one is given. With `prune`, documents that are no
    longer in the folder are removed; those whose file cannot be read now never are. Raises
    IngestError where the run cannot go on; what was written until then stays.
    """
    started = time.monotonic()
    if not all(map(find_spec, PARSERS)):
        raise MissingParsers
    folder = await asyncio.to_thread(folder.resolve)
    name = name or folder.name
    async with ingestion_lock(connection, report):
        await indexing.check(connection)
        report(Progress("reading"))
        listing = await asyncio.to_thread(_list, folder)
        library = await library_of(connection, name, folder)
        known = await write.hashes(connection, library)
        changed, broken = await asyncio.to_thread(_compare, folder, listing.entries, known)
        tally = Tally([], broken, await index.stale_languages(connection))
        await write.rename_creators(connection, listing.creators)
        async with aclosing(parsed(folder, changed)) as documents:
            await _write(
                connection,
                library,
                listing,
                documents,
                tally,
                len(changed),
                report,
                pgvector=indexing.pgvector,
            )
        gone = {key for key in known if prune and not listing.may_hold(key)}
        if gone:
            tally.languages |= await write.drop_documents(connection, library, gone)
        await indexing.update(connection, tally.languages, report)
        holdings = await write.holdings(connection, library)
    return _report(name, holdings, listing, known, tally, len(gone), time.monotonic() - started)


def _list(folder: Path) -> Listing:
    if not folder.is_dir():
        raise UnusableLibrary(f"there is no folder {folder}")
    try:
        listing = read_manifest(folder) if has_manifest(folder) else read_folders(folder)
    except OSError as error:
        raise UnusableLibrary(f"{folder} cannot be read: {error}") from None
    if not listing.keys:
        # Not an empty library: rather a wrong folder, or a disk that is not there.
        raise UnusableLibrary(
            f"{folder} holds no pages or transcripts: give it a folder for each creator,"
            " or a manifest (videos.jsonl)"
        )
    return listing


def _compare(
    folder: Path, entries: Sequence[Entry], known: Mapping[str, bytes]
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Tell which documents are not as they were written, and which cannot be read."""
    changed: list[Entry] = []
    broken: list[tuple[str, str]] = []
    for entry in entries:
        try:
            if content_hash(entry, load(folder, entry)) != known.get(entry.key):
                changed.append(entry)
        except BrokenFile as error:
            broken.append((entry.path, str(error)))
    return changed, broken


async def _write(
    connection: Connection,
    library: int,
    listing: Listing,
    documents: AsyncIterator[tuple[Entry, Document | str]],
    tally: Tally,
    total: int,
    report: Callable[[Progress], None],
    *,
    pgvector: bool,
) -> None:
    available = await write.configurations(connection)
    # A folder's name is no better than what another library has called its creator.
    called = {row["slug"]: row["name"] for row in await connection.fetch(CREATORS)}
    names = {**listing.unnamed, **called, **listing.creators}
    done = 0
    async for entry, document in documents:
        if isinstance(document, str):
            tally.broken.append((entry.path, document))
        else:
            name = names[entry.creator]
            try:
                tally.languages |= await write.replace_document(
                    connection, library, document, name, available, pgvector=pgvector
                )
                tally.written.append(entry.key)
            except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
                tally.broken.append((entry.path, f"the database does not take it: {error}"))
        done += 1
        report(Progress("documents", done, total, entry.path))


def _report(
    name: str,
    holdings: write.Holdings,
    listing: Listing,
    known: Mapping[str, bytes],
    tally: Tally,
    removed: int,
    seconds: float,
) -> Report:
    changed = sum(key in known for key in tally.written)
    return Report(
        library=name,
        **asdict(holdings),
        added=len(tally.written) - changed,
        changed=changed,
        unchanged=len(listing.entries) - len(tally.written) - len(tally.broken),
        removed=removed,
        broken=(*listing.broken, *tally.broken),
        skipped=listing.skipped,
        loose=listing.loose,
        seconds=seconds,
    )
