"""The command `ingest`: read folders into the library."""

from collections.abc import Sequence
from pathlib import Path

from app.cli.embedded_servers import embedded_servers
from app.cli.library import ingest_folder, open_library
from app.cli.sample_library import drop_retired_sample_embeddings, remove_sample_library
from app.config import Settings
from app.services.ingest.report import summary


async def ingest(
    settings: Settings,
    folders: Sequence[Path],
    *,
    name: str | None,
    prune: bool,
    follow_links: bool,
) -> int:
    """Ingest each folder and print its report; returns 1 if a file could not be read, else 0.

    Raises CommandError.
    """
    status = 0
    database = "DATABASE_URL" if settings.database_url else settings.data_dir.resolve()
    async with (
        embedded_servers(settings, memory=False) as complete,
        open_library(complete) as library,
    ):
        await drop_retired_sample_embeddings(library)
        for folder in folders:
            report = await ingest_folder(
                library, folder, name=name, prune=prune, follow_links=follow_links
            )
            print(f"{summary(report)}\n  stored in {database}", flush=True)
            status = 1 if report.broken else status
        if not settings.database_url:
            await remove_sample_library(library)
    return status
