"""Fixtures of the tests of ingestion: a small library, and a bound on the time of each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.services.ingest.libraries import plain_library


@pytest.fixture(autouse=True)
async def bounded(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(30):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plain_library(tmp_path / "demo")
