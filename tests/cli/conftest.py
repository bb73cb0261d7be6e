"""Fixtures of the command-line tests: a data folder that holds the sample library."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from app.cli.library import open_library
from app.cli.sample_library import update_sample_library
from app.config import Settings
from app.infra.embedded import postgres


@pytest.fixture(scope="session")
def prepared_data_dir(initialised: Path) -> Iterator[Path]:
    """A data folder whose database holds the sample library; to be copied."""
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        shutil.copytree(initialised, folder, dirs_exist_ok=True)
        with start_blocking_portal() as portal:
            portal.call(_ingest_sample, Path(folder))
        yield Path(folder)


@pytest.fixture
def sample_data_dir(prepared_data_dir: Path, data_dir: Path) -> Path:
    """A test's own data folder, as the first start of `serve` leaves it."""
    shutil.copytree(prepared_data_dir, data_dir)
    return data_dir


async def _ingest_sample(data_dir: Path) -> None:
    async with (
        postgres(data_dir) as url,
        open_library(Settings(database_url=url)) as library,
    ):
        await update_sample_library(library)
