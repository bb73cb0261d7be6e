from collections.abc import AsyncIterator

import pytest

from app.infra.http.client import HTTPClient
from tests.scripted_model import ScriptedModel
from tests.services.models.asking import Asking


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    async with ScriptedModel() as model, HTTPClient() as http:
        yield Asking(model, http)
