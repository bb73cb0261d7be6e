"""Fixtures of the search tests: a time limit, and libraries that are built once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import asyncpg
import pytest

from app.services.search.embedding import Embedder
from app.services.search.embedding.use import UseEmbedder
from tests.servers import SharedServers
from tests.services.search.search_library import CALIBRATED_PAGES, PAGES, fill


@pytest.fixture(autouse=True)
async def time_limit(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(60):
        yield


@pytest.fixture(scope="session")
def use() -> UseEmbedder:
    return UseEmbedder()


@asynccontextmanager
async def _library(
    shared: SharedServers,
    tmp_path_factory: pytest.TempPathFactory,
    pages: Mapping[str, str],
    embedder: Embedder,
) -> AsyncIterator[str]:
    url = shared.create_database()
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, tmp_path_factory.mktemp("library"), pages, embedder)
    finally:
        await connection.close()
    yield url
    shared.drop_database(url)


@pytest.fixture(scope="session")
async def small_library(
    anyio_backend: object,
    shared: SharedServers,
    use: UseEmbedder,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    """The URL of a library of PAGES, too small to calibrate. Tests must not write to it."""
    async with _library(shared, tmp_path_factory, PAGES, use) as url:
        yield url


@pytest.fixture(scope="session")
async def calibrated_library(
    anyio_backend: object,
    shared: SharedServers,
    use: UseEmbedder,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[str]:
    """The URL of a library of CALIBRATED_PAGES. Tests must not write to it."""
    async with _library(shared, tmp_path_factory, CALIBRATED_PAGES, use) as url:
        yield url
