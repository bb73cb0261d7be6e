"""Fixtures of the tests of the evaluation: a bound on the time of each test."""

from collections.abc import AsyncIterator

import anyio
import pytest


@pytest.fixture(autouse=True)
async def bounded(anyio_backend: object) -> AsyncIterator[None]:
    with anyio.fail_after(60):
        yield
