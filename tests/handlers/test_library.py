"""The list of creators, and search without an answer."""

import anyio
import asyncpg
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.service import Client, running

pytestmark = pytest.mark.anyio

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'creators'::regclass"


async def test_creators_are_listed_by_name_with_their_counts(service: Client) -> None:
    status, creators, _ = await service.call("GET", "/api/v1/creators")
    assert status == 200
    assert [c["slug"] for c in creators] == [
        "june-halloran",
        "mara-voss",
        "tomas-okafor",
        "zoe-tanaka",
    ]
    assert all(c["videos"] >= 1 and c["pages"] >= 1 for c in creators)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("zoë", "Zoë Tanaka"), ("ZOE", "Zoë Tanaka"), ("tomas-o", "Tomás Okafor"), ("%", None)],
)
async def test_prefix_matches_name_or_slug(service: Client, prefix: str, found: str | None) -> None:
    _, creators, _ = await service.call("GET", "/api/v1/creators", params={"prefix": prefix})
    assert [c["name"] for c in creators] == ([found] if found else [])


async def test_invalid_prefix_is_a_422(service: Client) -> None:
    for prefix in ("x" * 201, "a\0"):
        status, problem, _ = await service.call(
            "GET", "/api/v1/creators", params={"prefix": prefix}
        )
        assert (status, problem["errors"][0]["pointer"]) == (422, "prefix")


async def test_search_returns_the_sources_of_a_chat(service: Client) -> None:
    question = "What modulator ratio makes an FM bell?"
    params = {"q": question, "creator": "zoe tanaka"}
    status, found, _ = await service.call("GET", "/api/v1/search", params=params)
    events = await service.ask(question, creator="zoe tanaka")
    assert status == 200
    assert found["citations"] == events[0].data
    assert found["cascade_tier"] == events[-1].data["cascade_tier"] == "creator"
    assert found["scope"] == events[-1].data["scope"]


async def test_search_without_a_question_is_a_422(service: Client) -> None:
    status, problem, _ = await service.call("GET", "/api/v1/search")
    assert (status, problem["errors"][0]["pointer"]) == (422, "q")


@pytest.mark.parametrize("path", ["/api/v1/creators", "/api/v1/search?q=reverb"])
async def test_lists_and_searches_leave_half_of_the_connections_to_questions(
    service_settings: Settings, path: str
) -> None:
    blocker = await asyncpg.connect(service_settings.database_url)
    limited = replace(service_settings, database_pool=4, database_timeout=2)
    try:
        async with running(limited) as service, anyio.create_task_group() as tasks:
            replies: list[tuple[int, str | None]] = []

            async def call() -> None:
                status, _, headers = await service.call("GET", path)
                replies.append((status, headers.get("Retry-After")))

            async with blocker.transaction():
                await blocker.execute("LOCK TABLE creators IN ACCESS EXCLUSIVE MODE")
                for _ in range(8):
                    tasks.start_soon(call)
                with anyio.fail_after(5):
                    while await blocker.fetchval(WAITING) < 2:
                        pass
                assert (await service.call("GET", "/readyz"))[0] == 200
                with anyio.fail_after(10):
                    while len(replies) < 8:
                        assert await blocker.fetchval(WAITING) <= 2
            assert {status for status, _ in replies} == {503}
            assert all(retry_after for _, retry_after in replies)
            assert (await service.call("GET", path))[0] == 200
    finally:
        await blocker.close()
