"""Two workers' logs on one Redis, and a client that looks at what they keep there."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.services.streams import EventStore
from tests.services.streams.workers import log_of_a_worker


@pytest.fixture
async def owner(redis_url: str) -> AsyncIterator[EventStore]:
    async with log_of_a_worker(redis_url) as log:
        yield log


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[EventStore]:
    async with log_of_a_worker(redis_url) as log:
        yield log


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client
