"""Tests of viewers whose worker is killed in the middle of an answer."""

from collections.abc import AsyncIterator

import aiohttp
import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import (
    QUESTION,
    SOON,
    asking,
    data_of,
    ending,
    following,
    id_of,
    name_of,
    said,
    status_after,
)
from tests.workers import Worker, environment, worker

pytestmark = pytest.mark.anyio

RELEASE = "How fast should the release be when I side-chain the bass to the kick?"

LEASE = 1.0
# Seconds until the first viewer and any later one get the error: a missing lease may come back for
# two seconds.
ERROR_LIMIT, REPLAY_LIMIT = LEASE + 3, 3


@pytest.fixture
def settings(model_settings: Settings) -> Settings:
    """Settings of workers with a short lease."""
    return replace(model_settings, turn_lease=LEASE)


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Client]:
    """The worker that survives."""
    async with running(settings) as client:
        yield client


@pytest.fixture
async def doomed(settings: Settings) -> AsyncIterator[Worker]:
    """The worker to kill."""
    async with worker(environment(settings)) as process:
        yield process


async def test_viewers_of_a_killed_worker_get_the_logged_frames_and_one_retryable_error(
    doomed: Worker, other: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", anyio.Event(), "never"))
    async with asking(doomed) as first, following(other, first.turn_id) as remote:
        seen = list(await first.until(3))
        # What the other worker serves has been logged.
        await remote.until(3)
        killed = anyio.current_time()
        doomed.kill()
        with pytest.raises(aiohttp.ClientPayloadError):
            await first.rest()
        async with following(other, first.turn_id, seen[0]) as back:
            assert (await back.rest())[:-1] == seen[1:]
        took = anyio.current_time() - killed
        whole = await remote.rest()
    assert whole[:-1] == seen
    assert whole[-1] == back.frames[-1]
    assert name_of(whole[-1]) == "error"
    # Not the id of a fourth event that the dead worker may have sent without logging it.
    assert id_of(whole[-1]) != f"{first.turn_id}-3"
    problem = data_of(whole[-1])
    assert problem["type"] == "urn:chrysopedia:problem:turn-lost"
    assert problem["retryable"] is True
    assert took < ERROR_LIMIT, took
    await assert_replayed(other, first.turn_id, whole)


async def assert_replayed(client: Client, turn_id: str, whole: list[bytes]) -> None:
    """Assert that a lost stream behaves like any other that has ended."""
    with anyio.fail_after(REPLAY_LIMIT):
        async with following(client, turn_id) as late:
            assert await late.rest() == whole
    for method in ("GET", "POST"):
        with anyio.fail_after(REPLAY_LIMIT):
            assert await status_after(client, turn_id, id_of(whole[-1]), method) == 204
    with anyio.fail_after(REPLAY_LIMIT):
        assert (await client.call("DELETE", f"{CHAT}/{turn_id}"))[0] == 202


async def test_a_worker_that_never_served_the_turn_replays_the_same_error(
    doomed: Worker, other: Client, settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    async with asking(doomed) as first:
        await first.until(2)
        async with following(other, first.turn_id) as remote:
            await remote.until(2)
            doomed.kill()
            whole = await remote.rest()
    async with running(settings) as third, following(third, first.turn_id) as reader:
        assert await reader.rest() == whole


async def test_a_viewer_ahead_of_the_log_gets_the_error(
    doomed: Worker, other: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, *(f" {n}" for n in range(300)), anyio.Event(), "never"))
    async with asking(doomed) as first:
        await first.until(2)
        held.set()
        # Killed during a burst: its last tokens are hardly logged yet.
        seen = list(await first.until(250))
        doomed.kill()
    async with following(other, first.turn_id, seen[-1]) as back:
        frames = seen + await back.rest()
    assert ending(frames) == "error"
    numbers = [int(id_of(frame).rsplit("-")[-1]) for frame in frames]
    assert sorted(set(numbers)) == numbers


async def test_the_key_of_a_killed_workers_turn_can_be_used_again(
    doomed: Worker, other: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"), say("All of it."))
    body, key = {"query": QUESTION}, {"Idempotency-Key": "key-of-a-question-death"}
    async with asking(doomed, key="key-of-a-question-death") as first:
        await first.until(2)
        doomed.kill()
    conflicts = 0
    with anyio.fail_after(SOON):
        while (answered := await other.call("POST", CHAT, json=body, headers=key))[0] == 409:
            # Until the lease expires the turn counts as running.
            assert answered[2]["Location"] == f"{CHAT}/{first.turn_id}"
            conflicts += 1
    status, _, headers = answered
    assert (status, conflicts > 0) == (200, True)
    assert headers["X-Turn-Id"] != first.turn_id
    async with following(other, headers["X-Turn-Id"]) as reader:
        assert (said(await reader.rest()), ending(reader.frames)) == ("All of it.", "stop")
    async with asking(other, key="key-of-a-question-death") as again:
        assert await again.rest() == reader.frames
    assert len(model.requests) == 2


async def test_the_key_of_a_turn_killed_before_its_first_event_can_be_used_again(
    doomed: Worker, other: Client, model: ScriptedModel
) -> None:
    # A follow-up calls the model before the first event is sent.
    model.answers(say("One"), say(anyio.Event()), say(RELEASE), say("All of it."))
    conversation = await other.conversation("c")
    await other.ask(QUESTION, conversation_id=conversation)
    body = {"query": "And the release?", "conversation_id": conversation}
    key = {"Idempotency-Key": "key-of-a-question-early"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broken, doomed, body, key)
        with anyio.fail_after(SOON):
            await model.asked(2)
        doomed.kill()
    with anyio.fail_after(SOON):
        while (answered := await other.call("POST", CHAT, json=body, headers=key))[0] == 409:
            pass
    assert answered[0] == 200
    async with following(other, answered[2]["X-Turn-Id"]) as reader:
        assert (said(await reader.rest()), ending(reader.frames)) == ("All of it.", "stop")


async def broken(client: Client, body: dict[str, str], headers: dict[str, str]) -> None:
    """Send a request whose worker dies before it answers."""
    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", CHAT, json=body, headers=headers)


async def test_a_turn_that_ended_before_its_worker_was_killed_is_complete(
    doomed: Worker, other: Client, settings: Settings, model: ScriptedModel
) -> None:
    async with asking(doomed) as first, following(other, first.turn_id) as remote:
        whole = await first.rest()
        assert await remote.rest() == whole
    doomed.kill()
    await doomed.ended()
    async with running(settings) as third, following(third, first.turn_id) as reader:
        assert await reader.rest() == whole
    assert ending(whole) == "stop"
