"""Fixtures: two workers on one Valkey, with the sample library and a scripted model."""

from collections.abc import AsyncIterator

import pytest

from app.config import Settings
from tests.service import Client, running


@pytest.fixture
async def workers(model_settings: Settings) -> AsyncIterator[tuple[Client, Client]]:
    """Two workers that share nothing but Valkey and the database."""
    async with running(model_settings) as one, running(model_settings) as other:
        yield one, other
