"""The service reports PostgreSQL and Redis outages and recovers without a restart."""

import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.servers import OwnServer, ingest_sample
from tests.service import CHAT, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


async def test_chat_works_without_redis_and_reports_it(
    service_settings: Settings, own_valkey: OwnServer
) -> None:
    async with running(replace(service_settings, redis_url=own_valkey.url)) as service:
        conversation = await service.conversation("c")
        path = f"/api/v1/conversations/{conversation}"
        assert (await service.ask(QUESTION, conversation_id=conversation))[-1].data[
            "memory"
        ] == "kept"

        await own_valkey.stop()
        done = (await service.ask("And how do I set the release?", conversation_id=conversation))[
            -1
        ].data
        assert (done["memory"], done["finish_reason"]) == ("unavailable", "stop")
        status, ready, _ = await service.call("GET", "/readyz")
        assert (status, ready["parts"]["memory"]) == (200, "unavailable")
        for method in ("GET", "DELETE"):
            status, problem, headers = await service.call(method, path)
            assert (status, problem["status"]) == (503, 503)
            assert int(headers["Retry-After"]) > 0

        await own_valkey.start()
        assert (await service.ask(QUESTION, conversation_id=conversation))[-1].data[
            "memory"
        ] == "kept"
        # Turns stored before the outage are still there.
        _, kept, _ = await service.call("GET", path)
        assert len(kept["turns"]) == 2


async def test_questions_are_refused_while_the_database_is_down(
    service_settings: Settings, own_postgres: OwnServer
) -> None:
    async with running(replace(service_settings, database_url=own_postgres.url)) as service:
        await ingest_sample(own_postgres.url)
        assert (await service.ask(QUESTION))[-1].name == "done"

        await own_postgres.stop()
        status, problem, headers = await service.call("POST", CHAT, json={"query": QUESTION})
        assert (status, problem["type"]) == (503, "urn:chrysopedia:problem:library-unavailable")
        assert int(headers["Retry-After"]) > 0
        assert (await service.call("GET", "/api/v1/creators"))[0] == 503
        status, ready, _ = await service.call("GET", "/readyz")
        assert (status, ready["ready"], ready["parts"]["library"]) == (503, False, "unavailable")
        assert (await service.call("GET", "/healthz"))[0] == 200

        await own_postgres.start()
        assert (await service.ask(QUESTION))[-1].name == "done"
        assert (await service.call("GET", "/readyz"))[0] == 200


async def test_caller_over_the_limit_gets_a_retry_after(
    service_settings: Settings,
) -> None:
    async with running(replace(service_settings, rate_limit=2)) as service:
        for _ in range(2):
            await service.ask(QUESTION)
        status, problem, headers = await service.call("POST", CHAT, json={"query": QUESTION})
    assert (status, problem["status"]) == (429, 429)
    assert 0 < int(headers["Retry-After"]) <= 60
    assert headers["RateLimit-Policy"] == '"questions";q=2;w=60'
    assert headers["RateLimit"].startswith('"questions";r=0;t=')
