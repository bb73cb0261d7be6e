"""Parse many files at a time in other processes."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from app.services.ingest.entry import LibraryEntry, read_file
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.document import Document, parse_document

# A single thread parses fewer files than this before processes have started.
MIN_FILES_FOR_PROCESSES = 40
MAX_PROCESSES = 4
# Files that are parsed ahead of the consumer, per process.
FILES_AHEAD = 4


async def parse_files(
    folder: Path, entries: Sequence[LibraryEntry]
) -> AsyncGenerator[tuple[LibraryEntry, Document | str]]:
    """Yield each entry with its document, or with the reason why its file is broken."""
    workers = min(MAX_PROCESSES, os.cpu_count() or 1)
    loop = asyncio.get_running_loop()
    pending: deque[tuple[LibraryEntry, asyncio.Future[Document | str]]] = deque()
    with _executor(workers, len(entries)) as executor:
        for entry in entries:
            pending.append((entry, loop.run_in_executor(executor, parse_file, folder, entry)))
            if len(pending) > FILES_AHEAD * workers:
                first, document = pending.popleft()
                yield first, await document
        while pending:
            first, document = pending.popleft()
            yield first, await document


def _executor(workers: int, files: int) -> Executor:
    if files < MIN_FILES_FOR_PROCESSES:
        return ThreadPoolExecutor(1)
    # Forking would copy the event loop. Only the parent process handles Ctrl-C.
    return ProcessPoolExecutor(
        workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )


def parse_file(folder: Path, entry: LibraryEntry) -> Document | str:
    """Return the document in an entry's file, or the reason why the file is broken."""
    try:
        return parse_document(entry, read_file(folder, entry))
    except BrokenFile as error:
        return str(error)
    except Exception as error:  # a file that crashes a parser must not stop the run
        return f"cannot be parsed: {type(error).__name__}: {error}"
