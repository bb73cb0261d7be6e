"""The command `calibrate`: fit the threshold for "no answer" to the library."""

from app.cli.embedded_servers import embedded_servers
from app.cli.library import open_library, show_progress
from app.config import Settings
from app.services.ingest.lock import ingestion_lock


async def calibrate(settings: Settings) -> int:
    """Calibrate, and print the number of questions used. Raises CommandError."""
    async with (
        embedded_servers(settings, memory=False) as complete,
        open_library(complete) as library,
    ):
        with show_progress() as progress:
            async with ingestion_lock(library.connection, progress):
                done = await library.indexer.calibrate(library.connection, progress)
    if done is None:
        print("The library is too small to calibrate on; built-in defaults apply.")
    else:
        print(
            f"Calibrated on {done.questions:,} searches of {done.passages:,} passages for off-topic"
            " questions."
        )
    return 0
