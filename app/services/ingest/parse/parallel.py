"""Entries come in; their documents, parsed by other processes where that is worth it, go out."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from app.services.ingest.discover.entries import Entry, load
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.documents import Document, read_document

# Fewer files than this are parsed before other processes have even begun.
WORTH_PROCESSES = 40
MAX_PROCESSES = 4


async def parsed(
    folder: Path, entries: Sequence[Entry]
) -> AsyncGenerator[tuple[Entry, Document | str]]:
    """Parse files elsewhere, a few ahead of who asks; a text says what is wrong with one."""
    workers = min(MAX_PROCESSES, os.cpu_count() or 1)
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[Entry, asyncio.Future[Document | str]]] = deque()
    with _executor(workers, len(entries)) as executor:
        for entry in entries:
            waiting.append((entry, loop.run_in_executor(executor, parse, folder, entry)))
            if len(waiting) > 4 * workers:
                first, document = waiting.popleft()
                yield first, await document
        while waiting:
            first, document = waiting.popleft()
            yield first, await document


def _executor(workers: int, files: int) -> Executor:
    if files < WORTH_PROCESSES:
        return ThreadPoolExecutor(1)
    # A fork would take the event loop along. Ctrl-C is for the process that waits for them.
    return ProcessPoolExecutor(
        workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )


def parse(folder: Path, entry: Entry) -> Document | str:
    """Read one document, or say in words what is wrong with it; runs in a process of its own."""
    try:
        return read_document(entry, load(folder, entry))
    except BrokenFile as error:
        return str(error)
    except Exception as error:  # one file that a parser chokes on must not stop the others
        return f"it cannot be parsed: {type(error).__name__}: {error}"
