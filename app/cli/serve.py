"""Settings come in; a running service, with the servers it needs, is what comes of it."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import asyncpg
import uvicorn
from starlette.applications import Starlette

from app import __version__
from app.asgi import create_app
from app.cli.library import (
    OTHER_LIBRARIES,
    SAMPLE,
    CommandError,
    Library,
    OnlyWords,
    backing_servers,
    ingest_folder,
    library,
    remove_sample_library,
)
from app.cli.slow_viewers import cut_off_after
from app.config import Settings
from app.services.ingest.errors import EmbedderMismatch
from app.services.ingest.report import Report, summary
from app.services.streams import StreamRunner

log = logging.getLogger(__name__)

SAMPLE_FOLDER = "sample_library"

# $1 a library's name · $2 the folder it is in now
MOVE_LIBRARY = "UPDATE libraries SET path = $2 WHERE name = $1"

# $1 the sample library's name
HOLDINGS = """
SELECT (SELECT count(*) FROM creators) AS creators,
       count(*) FILTER (WHERE kind = 'video') AS videos,
       count(*) FILTER (WHERE kind = 'page') AS pages,
       EXISTS (SELECT FROM libraries WHERE name = $1) AS sample
FROM documents
"""


async def serve(settings: Settings, folder: Path | None) -> None:
    """Answer until a signal ends it; `folder` is a library to ingest first.

    An embedded database that holds no other library gets the sample library.
    Raises CommandError.
    """
    with _listen(settings.host, settings.port) as listener:
        cut_off_after(listener, settings.send_timeout)
        async with backing_servers(settings) as complete:
            holdings = await _fill(complete, folder, sample=not settings.database_url)
            app = create_app(complete)
            config = uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                # By then all turns have ended: this is for viewers that are slow to read the rest.
                timeout_graceful_shutdown=10,
            )
            greeting = _greeting(complete, listener, holdings)
            await _Server(config, app, greeting).serve([listener])


async def _fill(settings: Settings, folder: Path | None, *, sample: bool) -> asyncpg.Record:
    """Ingest what is to be there from the start, and count what there is."""
    async with library(settings) as into:
        await check_embedder(into)
        report = None
        try:
            if folder is not None:
                report = await ingest_folder(into, folder)
            if sample:
                report = await keep_sample(into) or report
        except OnlyWords as problem:
            # An embedder that is away is no reason not to answer.
            log.warning("search goes by words alone for now: %s", problem)
        if report and (report.added or report.changed or report.broken or report.unassigned):
            print(summary(report), flush=True)
        holdings = await into.connection.fetchrow(HOLDINGS, SAMPLE)
    assert holdings is not None  # noqa: S101 -- a count always has its row
    return holdings


async def check_embedder(into: Library) -> None:
    """Raise CommandError where the library's embeddings are another embedder's."""
    try:
        await into.indexing.check_embedder(into.connection)
    except EmbedderMismatch as error:
        raise CommandError(str(error)) from None


async def keep_sample(into: Library) -> Report | None:
    """Keep the sample library where there is no other; one's own is not mixed with it."""
    connection = into.connection
    with as_file(files("app").joinpath(SAMPLE_FOLDER)) as folder:
        if not await connection.fetchval(OTHER_LIBRARIES, SAMPLE):
            # Wherever the project's folder was when it was ingested: it is the project's own.
            await connection.execute(MOVE_LIBRARY, SAMPLE, str(folder.resolve()))
            return await ingest_folder(into, folder, name=SAMPLE)
    await remove_sample_library(into)
    return None


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # It listens when it can answer: until then a proxy is to ask the next worker.
            listener.bind((host, port))
        except OSError as error:
            raise _cannot_listen(f"{host}:{port}", error) from None
        yield listener


def _cannot_listen(address: str, error: OSError) -> CommandError:
    reason = (error.strerror or str(error)).lower()
    return CommandError(f"cannot listen on {address}: {reason}; set HOST or PORT to another")


class _Server(uvicorn.Server):
    """Says when it answers; when it is to end it goes on until the answers are whole.

    While it drains it listens still: whoever asks is told at once that another worker has to
    answer. It returns after a signal, so that the other servers are ended too.
    """

    def __init__(self, config: uvicorn.Config, app: Starlette, greeting: str) -> None:
        super().__init__(config)
        self._app = app
        self._greeting = greeting
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        try:
            await super().startup(sockets)
        except OSError as error:
            # Another copy, which started at the same time, was faster.
            await self.lifespan.shutdown()
            raise _cannot_listen("that address", error) from None
        if not self.should_exit:
            print(self._greeting, flush=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals without raising them once more at the end, as uvicorn does."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _told_to_end(self) -> None:
        runner: StreamRunner | None = getattr(self._app.state, "runner", None)
        if runner is None:
            # It has not even begun to answer.
            self.should_exit = True
        elif self._draining is None:
            runner.draining.set()
            self._draining = asyncio.create_task(self._drain(runner))
        else:
            runner.shutdown_now()
            self.should_exit = True

    async def _drain(self, runner: StreamRunner) -> None:
        await runner.drained.wait()
        self.should_exit = True


def _greeting(settings: Settings, listener: socket.socket, holdings: asyncpg.Record) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    model = settings.llm_model or "none configured: answers quote the sources"
    asked = (
        "How fast should the attack be when I side-chain the bass to the kick?"
        if holdings["sample"]
        else "your question"
    )
    return f"""
Chrysopedia Chat {__version__} answers at {url}
  library  {_counted(holdings)}
  model    {model}

Open it in a browser, or try in another terminal:
  curl -N {url}/api/v1/chat -H 'Content-Type: application/json' \\
    -d '{{"query": "{asked}"}}'
  curl '{url}/api/v1/creators'

Ctrl-C ends it. What was said and ingested is there the next time.
"""


def _counted(holdings: asyncpg.Record) -> str:
    return ", ".join(
        f"{holdings[kind]} {kind.removesuffix('s') if holdings[kind] == 1 else kind}"
        for kind in ("creators", "videos", "pages")
    )
