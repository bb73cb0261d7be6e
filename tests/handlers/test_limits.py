"""Limits of callers: what counts, what a refusal says, and the headers of counted replies."""

from collections.abc import Mapping

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.servers import OwnServer
from tests.service import CHAT, Client, answer, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"
BODY = {"query": QUESTION}
KEY = {"Idempotency-Key": "0b1f7a1c-6d0e-4a53"}
SEARCH = f"/api/v1/search?q={QUESTION}"


@pytest.fixture
def settings(service_settings: Settings, redis_url: str) -> Settings:
    """Settings without a model, and an empty Redis."""
    return replace(service_settings, redis_url=redis_url)


async def refused(service: Client, path: str = CHAT, **options: object) -> tuple[str, int]:
    """Return the detail and Retry-After of a request that must be refused."""
    method = "POST" if path == CHAT else "GET"
    status, problem, headers = await service.call(method, path, json=BODY, **options)
    assert (status, problem["title"]) == (429, "Too many questions")
    assert "RateLimit" in headers
    return problem["detail"], int(headers["Retry-After"])


async def test_counted_replies_report_the_limits(settings: Settings) -> None:
    limited = replace(settings, rate_limit=30, turns_at_once=4, daily_limit=100)
    async with running(limited) as service:
        async with service.stream(BODY) as stream:
            headers: Mapping[str, str] = stream.response.headers
            turn_id = headers["X-Turn-Id"]
            await stream.rest()
        assert headers["RateLimit-Policy"] == (
            '"minute";q=30;w=60, "day";q=100;w=86400, "running";q=4;qu="concurrent-requests"'
        )
        assert headers["RateLimit"] == '"minute";r=29;t=2, "day";r=99, "running";r=3'
        for method, path, status in (
            ("POST", CHAT, 400),
            ("GET", f"{CHAT}/{turn_id}", 200),
            ("DELETE", f"{CHAT}/{turn_id}", 202),
            ("GET", "/api/v1/conversations/unknown", 404),
            ("DELETE", "/api/v1/conversations/unknown", 204),
            ("GET", "/api/v1/creators", 200),
            ("GET", SEARCH, 200),
            ("GET", "/api/v1/search", 422),
        ):
            typed = {"Content-Type": "application/json"} if method == "POST" else {}
            got, _, headers = await service.call(method, path, data=b"", headers=typed)
            assert got == status, path
            assert headers["RateLimit"].startswith('"minute";r=2'), path
        for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/"):
            _, _, headers = await service.call("GET", path)
            assert "RateLimit" not in headers, path


async def test_every_route_counts_by_its_cost(settings: Settings) -> None:
    async with running(replace(settings, rate_limit=1)) as service:
        for _ in range(4):
            assert (await service.call("GET", SEARCH))[0] == 200
        detail, seconds = await refused(service, SEARCH)
        assert detail.startswith("Questions are limited to 1 a minute from one network address.")
        assert 20 < seconds <= 30
        await refused(service, "/api/v1/creators")
        _, seconds = await refused(service)
        assert 100 < seconds <= 120


async def test_malformed_questions_count(settings: Settings) -> None:
    async with running(replace(settings, rate_limit=2)) as service:
        for _ in range(4):
            assert (await service.call("POST", CHAT, json={"query": ""}))[0] == 422
        assert (await service.call("POST", CHAT, json={"query": ""}))[0] == 429


async def test_turns_at_once_are_limited_over_all_workers(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held), say("Two"), say("Three"))
    limited = replace(chat_settings, turns_at_once=1, llm_silence_timeout=20.0)
    async with running(limited) as one, running(limited) as other:
        async with one.stream(BODY) as stream:
            await stream.until("token")
            for worker in (one, other):
                detail, seconds = await refused(worker)
                assert detail.startswith("Answers are limited to 1 at once from one network")
                assert 1 <= seconds <= 5
        # The viewer has left, but the turn still runs.
        await refused(other)
        held.set()
        async with one.follow(stream.response.headers["X-Turn-Id"]) as again:
            await again.rest()
        assert (await one.ask(QUESTION))[-1].name == "done"


async def test_a_caller_can_ask_again_as_soon_as_an_answer_has_ended(settings: Settings) -> None:
    async with running(replace(settings, turns_at_once=1)) as service:
        for _ in range(5):
            assert (await service.ask(QUESTION))[-1].name == "done"


async def test_a_turn_that_fails_no_longer_runs(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    async with running(replace(chat_settings, turns_at_once=1)) as service:
        for _ in range(3):
            model.answers(say())
            assert (await service.ask(QUESTION))[-1].name == "error"


async def test_a_repeated_question_is_not_refused_for_the_one_that_it_repeats(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    limited = replace(chat_settings, turns_at_once=1, rate_limit=1, llm_silence_timeout=20.0)
    async with running(limited) as service:
        async with service.stream(BODY, KEY) as stream:
            await stream.until("token")
            status, _, headers = await service.call("POST", CHAT, json=BODY, headers=KEY)
            turn_id = stream.response.headers["X-Turn-Id"]
            assert (status, headers["Location"]) == (409, f"{CHAT}/{turn_id}")
            other_key = {"Idempotency-Key": "another-key-1234567"}
            await refused(service, headers=other_key)
            held.set()
            await stream.rest()
        async with service.stream(BODY, KEY) as stream:
            assert answer(await stream.rest()) == "One"
    assert len(model.requests) == 1


async def test_a_repeated_question_counts_as_a_viewer(settings: Settings) -> None:
    limited = replace(settings, turns_at_once=1, rate_limit=20, daily_limit=2)
    async with running(limited) as service:
        for _ in range(5):
            async with service.stream(BODY, KEY) as stream:
                await stream.rest()
        async with service.stream(BODY) as stream:
            remaining = stream.response.headers["RateLimit"]
            await stream.rest()
        assert '"minute";r=17' in remaining
        assert '"day";r=0' in remaining


async def tokens_left(service: Client) -> str:
    """Return how many tokens remain."""
    _, _, headers = await service.call("GET", "/api/v1/creators")
    return headers["RateLimit"].removeprefix('"tokens";r=')


async def test_model_tokens_are_limited(chat_settings: Settings, model: ScriptedModel) -> None:
    model.answers(say("One", usage=(812, 9)), say("Two"))
    async with running(replace(chat_settings, daily_tokens=830)) as service:
        await service.ask(QUESTION)
        assert await tokens_left(service) == "9"
        # The model does not tell the tokens of its second answer.
        await service.ask(QUESTION)
        assert await tokens_left(service) == "0"
        detail, seconds = await refused(service)
        assert detail.startswith("Model tokens are limited to 830 a day")
        assert "midnight UTC" in detail
        assert 0 < seconds <= 86_400


async def test_the_whole_service_is_limited(settings: Settings) -> None:
    async with running(replace(settings, service_daily_limit=1)) as service:
        await service.ask(QUESTION)
        status, problem, headers = await service.call("POST", CHAT, json=BODY)
        assert status == 429
        assert problem["detail"].startswith("Questions are limited to 1 a day by all users")
        assert "RateLimit" not in headers
        _, text, _ = await service.call("GET", "/metrics")
        line = b'chrysopedia_limit_refusals_total{holder="service",limit="day"} 1.0'
        assert line in text


async def test_limits_hold_per_worker_while_redis_is_away(
    settings: Settings, own_valkey: OwnServer
) -> None:
    limited = replace(settings, redis_url=own_valkey.url, rate_limit=2)
    async with running(limited) as service:
        await service.ask(QUESTION)
        await own_valkey.stop()
        for _ in range(2):
            await service.ask(QUESTION)
        await refused(service)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"Authorization": "Bearer x"}, 401),
        ("?ticket=x", {}, 404),
    ],
)
async def test_wrong_credentials_count_against_the_address(
    settings: Settings, query: str, headers: Mapping[str, str], status: int
) -> None:
    path = f"{CHAT}/t_{'0' * 32}{query}"
    async with running(replace(settings, auth="on", rate_limit=2)) as service:
        for _ in range(4):
            assert (await service.call("GET", path, headers=headers))[0] == status
        await refused(service, path, headers=headers)
