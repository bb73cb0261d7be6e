"""A small library, and a time limit for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.services.ingest.libraries import plain_library


@pytest.fixture(autouse=True)
async def time_limit(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(30):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plain_library(tmp_path / "demo")
