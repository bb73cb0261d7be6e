"""Parse files in other processes: a file that crashes its process is only a broken file."""

import asyncio
import os
import resource
import signal
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from msgspec import Struct

from app.services.ingest.bounds import PARSE_MEMORY_BYTES, PARSE_SECONDS
from app.services.ingest.entry import LibraryEntry, read_file
from app.services.ingest.errors import BrokenFile
from app.services.ingest.files import LibraryFolder
from app.services.ingest.parse.document import Document, parse_document

MAX_PROCESSES = 4
# One process parses fewer files than this before another one has started.
FILES_PER_PROCESS = 40
# Files that are parsed ahead of the consumer, per process.
FILES_AHEAD = 4


# The exit status of a process that needs more memory than it may have.
_OUT_OF_MEMORY = 3


class ParseLimits(Struct, frozen=True):
    """CPU time and memory that the parsing of one file may take."""

    seconds: float = PARSE_SECONDS
    memory_bytes: int = PARSE_MEMORY_BYTES


async def parse_files(
    folder: LibraryFolder,
    entries: Sequence[LibraryEntry],
    limits: ParseLimits = ParseLimits(),  # noqa: B008 (immutable)
) -> AsyncGenerator[tuple[LibraryEntry, Document | str]]:
    """Yield each entry with its document, or with the reason why its file is broken."""
    workers = min(MAX_PROCESSES, os.cpu_count() or 1, 1 + len(entries) // FILES_PER_PROCESS)
    loop = asyncio.get_running_loop()
    pending: deque[tuple[LibraryEntry, asyncio.Future[Document | str]]] = deque()
    executor, parsers = ThreadPoolExecutor(workers), _Parsers(folder, limits)
    try:
        for entry in entries:
            pending.append((entry, loop.run_in_executor(executor, parsers.parse, entry)))
            if len(pending) > FILES_AHEAD * workers:
                first, document = pending.popleft()
                yield first, await document
        while pending:
            first, document = pending.popleft()
            yield first, await document
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        parsers.stop()
        executor.shutdown()


class _Parsers:
    """Processes that parse one file at a time; one that ends is replaced for the next file."""

    def __init__(self, folder: LibraryFolder, limits: ParseLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._idle: list[_Parser] = []
        self._all: list[_Parser] = []

    def parse(self, entry: LibraryEntry) -> Document | str:
        """Parse a file; may be called in several threads."""
        try:
            parser = self._idle.pop()
        except IndexError:
            parser = _Parser(self._folder, self._limits)
            self._all.append(parser)
        outcome = parser.parse(entry)
        if parser.is_running:
            self._idle.append(parser)
        return outcome

    def stop(self) -> None:
        for parser in self._all:
            parser.stop()


class _Parser:
    def __init__(self, folder: LibraryFolder, limits: ParseLimits) -> None:
        self._limits = limits
        # A fork of this process would copy its event loop and connections.
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._connection, connection = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(folder, limits, connection), daemon=True
        )
        self._process.start()
        connection.close()
        self.is_running = True

    def parse(self, entry: LibraryEntry) -> Document | str:
        try:
            self._connection.send(entry)
            outcome: Document | str = self._connection.recv()
        except (EOFError, OSError):
            self.is_running = False
            self._process.join()
            if self._process.exitcode == _OUT_OF_MEMORY:
                return "needs too much memory to parse"
            if self._process.exitcode == -signal.SIGPROF:
                return f"takes longer than {self._limits.seconds:g} s to parse"
            return f"crashes the parser (exit status {self._process.exitcode})"
        return outcome

    def stop(self) -> None:
        self._process.kill()


def _serve(folder: LibraryFolder, limits: ParseLimits, connection: Connection) -> None:
    # Only the parent process handles Ctrl-C. SIGPROF ends this process, also within C code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _limit_memory(limits.memory_bytes)
    try:
        while True:
            entry = connection.recv()
            signal.setitimer(signal.ITIMER_PROF, limits.seconds)
            outcome = parse_file(folder, entry)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(outcome)
    except EOFError:
        pass
    except MemoryError:
        # What is left of the heap may be too little for the next file.
        os._exit(_OUT_OF_MEMORY)


def _limit_memory(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # not on Linux, or limited further already
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def parse_file(folder: LibraryFolder, entry: LibraryEntry) -> Document | str:
    """Return the document in an entry's file, or the reason why the file is broken.

    Raises MemoryError.
    """
    try:
        return parse_document(entry, read_file(folder, entry))
    except BrokenFile as error:
        return str(error)
    except MemoryError:
        raise
    except Exception as error:  # a file that the parsers cannot read must not stop the run
        return f"cannot be parsed: {type(error).__name__}: {error}"
