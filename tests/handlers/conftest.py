"""Fixtures: the running service with the sample library, with and without a model."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.keys import MadeKey, make_key
from tests.scripted_model import ScriptedModel
from tests.servers import SharedServers
from tests.service import Client, running, unlimited


@pytest.fixture(scope="session")
def service_settings(library_url: str, shared: SharedServers) -> Settings:
    """Settings without a model."""
    return unlimited(Settings(database_url=library_url, redis_url=shared.redis_url))


@pytest.fixture(scope="session")
async def service(service_settings: Settings) -> AsyncIterator[Client]:
    """A running service without a model, shared by tests that use their own conversations."""
    async with running(service_settings) as client:
        yield client


@pytest.fixture
def chat_settings(service_settings: Settings, redis_url: str, model: ScriptedModel) -> Settings:
    """Settings with the scripted model."""
    return replace(
        service_settings,
        llm_base_url=model.base_url,
        llm_model="first",
        llm_api_key="sk-a-secret-key",
        llm_first_token_timeout=0.3,
        llm_silence_timeout=0.3,
    )


@pytest.fixture
async def chat(chat_settings: Settings) -> AsyncIterator[Client]:
    """A running service with the scripted model."""
    async with running(chat_settings) as client:
        yield client


@pytest.fixture
def guarded_settings(database_url: str, redis_url: str) -> Settings:
    """Settings with access control and an empty library."""
    return Settings(database_url=database_url, redis_url=redis_url, auth="on")


@pytest.fixture
async def guarded(guarded_settings: Settings) -> AsyncIterator[Client]:
    """A running service with access control."""
    async with running(guarded_settings) as client:
        yield client


@pytest.fixture
async def key(database_url: str) -> MadeKey:
    """A secret key without limits."""
    return await make_key(database_url)
