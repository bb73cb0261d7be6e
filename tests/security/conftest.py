"""Fixtures: two workers on one database and one Redis, with and without access control."""

from collections.abc import AsyncIterator, Mapping

import pytest
from msgspec import Struct
from msgspec.structs import replace

from app.config import Settings
from tests.security.callers import USER_HEADER, Headers, make_callers
from tests.servers import SharedServers, ingest_sample
from tests.service import Client, running


class Site(Struct, frozen=True):
    """Two workers, and the headers of all callers."""

    settings: Settings
    workers: tuple[Client, Client]
    callers: Mapping[str, Headers]


@pytest.fixture(scope="package")
async def settings(anyio_backend: object, shared: SharedServers) -> Settings:
    """Settings with a library of its own for keys, and limits that are reported but not hit."""
    url = shared.create_database()
    await ingest_sample(url)
    return Settings(
        database_url=url,
        redis_url=shared.redis_url,
        auth="on",
        auth_subject_header=USER_HEADER,
        trusted_proxies="127.0.0.1",
        rate_limit=1_000_000,
        turns_at_once=1_000,
    )


@pytest.fixture(scope="package")
async def callers(settings: Settings) -> Mapping[str, Headers]:
    """The headers of each caller."""
    return await make_callers(settings.database_url)


@pytest.fixture(scope="package")
async def guarded(settings: Settings, callers: Mapping[str, Headers]) -> AsyncIterator[Site]:
    """Two workers with AUTH=on."""
    async with running(settings) as one, running(settings) as other:
        yield Site(settings, (one, other), callers)


@pytest.fixture(scope="package")
async def unguarded(settings: Settings, callers: Mapping[str, Headers]) -> AsyncIterator[Site]:
    """Two workers with AUTH=off."""
    settings = replace(settings, auth="off", auth_subject_header="")
    async with running(settings) as one, running(settings) as other:
        yield Site(settings, (one, other), callers)
