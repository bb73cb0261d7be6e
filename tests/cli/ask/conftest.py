"""Services with the sample library, with and without a scripted model."""

from collections.abc import AsyncIterator

import pytest

from app.config import Settings
from tests.servers import SharedServers
from tests.service import Client, running, unlimited


@pytest.fixture(scope="session")
async def extractive(library_url: str, shared: SharedServers) -> AsyncIterator[Client]:
    """A running service that answers with quotations."""
    settings = unlimited(Settings(database_url=library_url, redis_url=shared.redis_url))
    async with running(settings) as client:
        yield client


@pytest.fixture
async def chat(model_settings: Settings) -> AsyncIterator[Client]:
    """A running service that uses the scripted model."""
    async with running(model_settings) as client:
        yield client
