"""The metrics of a worker match what its clients received."""

from collections.abc import AsyncIterator

import anyio
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import CHAT, Client, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


@pytest.fixture
async def worker(chat_settings: Settings) -> AsyncIterator[Client]:
    """A running service with a fallback model."""
    async with running(replace(chat_settings, llm_fallback_model="second")) as client:
        yield client


async def scrape(worker: Client) -> dict[tuple[str, ...], float]:
    """Return the samples by name, without prefix, and label values."""
    status, text, headers = await worker.call("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name.removeprefix("chrysopedia_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_answer_is_counted_with_its_tier_and_timings(
    worker: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", " three"))
    done = (await worker.ask(QUESTION))[-1].data
    now = await scrape(worker)
    assert now["turns_total", "stop", done["cascade_tier"]] == 1
    assert now["time_to_sources_seconds_count",] == 1
    assert now["time_to_first_token_seconds_count",] == 1
    assert now["time_between_tokens_seconds_count",] == 2
    assert now["turn_duration_seconds_count",] == 1
    assert now["turn_duration_seconds_sum",] >= done["timings_ms"]["total"] / 1_000
    assert now["database_wait_seconds_count",] >= 1
    assert now["database_connections",] >= now["database_connections_idle",] >= 1
    assert now["process_open_fds",] > 0


async def test_gauges_count_current_turns_and_viewers(worker: Client, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    with anyio.fail_after(10):
        async with worker.stream({"query": QUESTION}) as first:
            seen = await first.until("token")
            turn_id = first.response.headers["X-Turn-Id"]
            async with worker.follow(turn_id, after=seen[0].id) as again:
                now = await scrape(worker)
                assert (now["turns_running",], now["viewers",]) == (1, 2)
                assert now["resumes_total",] == 1
                held.set()
                await again.rest()
            await first.rest()
    now = await scrape(worker)
    assert (now["turns_running",], now["viewers",]) == (0, 0)
    assert now["log_writes_total",] >= 1
    assert now["log_writes_failed_total",] == 0


async def test_model_attempts_and_failed_turns_are_counted(
    worker: Client, model: ScriptedModel
) -> None:
    model.answers(refuse(500), refuse(404), refuse(404))
    assert (await worker.ask(QUESTION))[-1].name == "error"
    now = await scrape(worker)
    assert now["model_retries_total",] == 1
    assert now["model_fallbacks_total",] == 1
    assert now["turns_total", "model-failed", "unknown"] == 1
    assert now["time_to_first_token_seconds_count",] == 0


async def test_refused_requests_are_counted_by_kind(worker: Client) -> None:
    await worker.call("POST", CHAT, json={"query": ""})
    await worker.call("POST", CHAT, json={"query": ""})
    await worker.call("GET", f"{CHAT}/t_{'0' * 32}")
    now = await scrape(worker)
    assert now["requests_refused_total", "unprocessable"] == 2
    assert now["requests_refused_total", "not-found"] == 1
