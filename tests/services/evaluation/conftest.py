"""Time limit for the evaluation tests."""

from collections.abc import AsyncIterator

import anyio
import pytest


@pytest.fixture(autouse=True)
async def time_limit(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(60):
        yield
