"""The command `serve`: prepare the library, then answer questions over HTTP."""

import logging
import socket
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from app import __version__
from app.asgi import create_app, create_operations_app
from app.cli.access import check_access
from app.cli.connections import raise_open_files_limit
from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError, NotFullyEmbedded
from app.cli.library import Library, ingest_folder, open_library
from app.cli.sample_library import SAMPLE, drop_retired_sample_embeddings, update_sample_library
from app.cli.server import Server, bind, drop_stalled_connections
from app.config import Settings
from app.services.ingest.errors import EmbedderMismatch
from app.services.ingest.report import summary

log = logging.getLogger(__name__)

SAMPLE_QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"

# $1 the sample library's name
CONTENTS = """
SELECT (SELECT count(*) FROM creators) AS creators,
       count(*) FILTER (WHERE kind = 'video') AS videos,
       count(*) FILTER (WHERE kind = 'page') AS pages,
       EXISTS (SELECT FROM libraries WHERE name = $1) AS sample
FROM documents
"""


async def serve(settings: Settings, folder: Path | None) -> None:
    """Serve until a signal ends it; `folder` is a library to ingest first. Raises CommandError.

    An embedded database without another library gets the sample library.
    """
    check_access(settings)
    raise_open_files_limit()
    with ExitStack() as stack:
        listener = stack.enter_context(bind(settings.host, settings.port))
        drop_stalled_connections(listener, settings.send_timeout)
        operations = None
        if settings.ops_port:
            ops_listener = stack.enter_context(bind(settings.host, settings.ops_port))
            operations = (create_operations_app(settings), ops_listener)
        async with embedded_servers(settings) as complete:
            contents = await _prepare_library(complete, folder, sample=not settings.database_url)
            greeting = _greeting(complete, listener, contents)
            app = create_app(complete)
            server = Server(app, complete, lambda: print(greeting, flush=True), operations)
            await server.serve([listener])


async def _prepare_library(
    settings: Settings, folder: Path | None, *, sample: bool
) -> asyncpg.Record:
    """Ingest `folder` or the sample library, and return the row of CONTENTS."""
    async with open_library(settings) as library:
        await drop_retired_sample_embeddings(library)
        await check_embedder(library)
        report = None
        try:
            if folder is not None:
                report = await ingest_folder(library, folder)
            if sample:
                report = await update_sample_library(library) or report
        except NotFullyEmbedded as error:
            # Lexical search still works, so the service starts all the same.
            log.warning("some passages are not embedded, only lexical search finds them: %s", error)
        if report and (report.added or report.changed or report.broken or report.unassigned):
            print(summary(report), flush=True)
        contents = await library.connection.fetchrow(CONTENTS, SAMPLE)
    assert contents is not None  # noqa: S101 -- an aggregate always returns a row
    return contents


async def check_embedder(library: Library) -> None:
    """Raise CommandError if the library is embedded with another embedder."""
    try:
        await library.indexer.for_library(library.connection)
    except EmbedderMismatch as error:
        raise CommandError(str(error)) from None


def _greeting(settings: Settings, listener: socket.socket, contents: asyncpg.Record) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    model = (
        settings.llm_model or "none: answers quote the sources (configure one with LLM_BASE_URL)"
    )
    question = SAMPLE_QUESTION if contents["sample"] else "your question"
    access, key = "everyone who can reach it (AUTH=off)", ""
    if settings.auth == "on":
        access = "with a key or token (make one: python -m app keys create NAME)"
        key = " -H 'Authorization: Bearer KEY'"
    return f"""
Chrysopedia Chat {__version__} is running at {url}
  library  {_counted(contents)}
  model    {model}
  access   {access}

Open it in a browser, or try it in another terminal:
  curl -N {url}/api/v1/chat -H 'Content-Type: application/json'{key} \\
    -d '{{"query": "{question}"}}'
  curl '{url}/api/v1/creators'{key}

Press Ctrl-C to stop. The library and conversations are kept for the next start.
"""


def _counted(contents: asyncpg.Record) -> str:
    return ", ".join(
        f"{contents[kind]} {kind.removesuffix('s') if contents[kind] == 1 else kind}"
        for kind in ("creators", "videos", "pages")
    )
