"""The service on a socket with the sample library, with and without a scripted model."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.scripted_model import ScriptedModel
from tests.servers import SharedServers
from tests.service import Client, running


@pytest.fixture(scope="session")
async def quoting(library_url: str, shared: SharedServers) -> AsyncIterator[Client]:
    """A running service whose answers are quotations."""
    settings = Settings(database_url=library_url, redis_url=shared.redis_url)
    async with running(settings) as client:
        yield client


@pytest.fixture
def chat_settings(library_url: str, redis_url: str, model: ScriptedModel) -> Settings:
    """Settings of a service that asks the scripted model."""
    return Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=model.base_url,
        llm_model="first",
    )


@pytest.fixture
async def chat(chat_settings: Settings) -> AsyncIterator[Client]:
    """A running service that asks the scripted model."""
    async with running(chat_settings) as client:
        yield client
