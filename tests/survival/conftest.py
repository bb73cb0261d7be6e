"""Two workers on one Valkey, with the sample library and a scripted model."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.scripted_model import ScriptedModel
from tests.service import Client, running


@pytest.fixture
def survival_settings(library_url: str, redis_url: str, model: ScriptedModel) -> Settings:
    """Settings of a worker that asks the scripted model; Valkey is empty at first."""
    return Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=model.base_url,
        llm_model="first",
    )


@pytest.fixture
async def workers(survival_settings: Settings) -> AsyncIterator[tuple[Client, Client]]:
    """Two workers that know of each other only through Valkey."""
    async with running(survival_settings) as one, running(survival_settings) as other:
        yield one, other
