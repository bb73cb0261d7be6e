"""The event stores of two workers on one Redis, and a client to inspect their keys."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.services.streams import EventStore
from tests.services.streams.workers import event_store


@pytest.fixture
async def owner(redis_url: str) -> AsyncIterator[EventStore]:
    async with event_store(redis_url) as store:
        yield store


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[EventStore]:
    async with event_store(redis_url) as store:
        yield store


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client
