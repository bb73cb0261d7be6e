"""A worker is killed in the middle of an answer: viewers get what was logged, then an error."""

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

LEASE = 1.0
# Seconds within which the first viewer is told of the loss, and any later one: a lease that is
# missing has a moment to come back.
TOLD, TOLD_AGAIN = LEASE + 3, 3


@pytest.fixture
def settings(model_settings: Settings) -> Settings:
    """Settings of workers whose death is noticed soon."""
    return replace(model_settings, turn_lease=LEASE)


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Client]:
    """The worker that lives on."""
    async with running(settings) as client:
        yield client


@pytest.fixture
async def mortal(settings: Settings) -> AsyncIterator[Worker]:
    """The worker to kill."""
    async with worker(environment(settings)) as process:
        yield process


async def test_viewers_of_a_killed_worker_get_the_logged_frames_and_one_retryable_error(
    mortal: Worker, other: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", anyio.Event(), "never"))
    async with asking(mortal) as first, following(other, first.turn_id) as remote:
        seen = list(await first.until(3))
        # What the other worker gives is in the log.
        await remote.until(3)
        killed = anyio.current_time()
        mortal.kill()
        with pytest.raises(aiohttp.ClientPayloadError):
            await first.rest()
        async with following(other, first.turn_id, seen[0]) as back:
            assert (await back.rest())[:-1] == seen[1:]
        took = anyio.current_time() - killed
        whole = await remote.rest()
    assert whole[:-1] == seen
    assert whole[-1] == back.frames[-1]
    assert name_of(whole[-1]) == "error"
    # The dead worker may have sent a fourth event that nobody else knows: this is not that one.
    assert id_of(whole[-1]) != f"{first.turn_id}-3"
    problem = data_of(whole[-1])
    assert problem["type"] == "urn:chrysopedia:problem:turn-lost"
    assert problem["retryable"] is True
    assert took < TOLD, took
    await the_same_is_told_again(other, first.turn_id, whole)


async def the_same_is_told_again(client: Client, turn_id: str, whole: list[bytes]) -> None:
    """A stream that was given up is like any that has ended."""
    with anyio.fail_after(TOLD_AGAIN):
        async with following(client, turn_id) as late:
            assert await late.rest() == whole
    for method in ("GET", "POST"):
        with anyio.fail_after(TOLD_AGAIN):
            assert await status_after(client, turn_id, id_of(whole[-1]), method) == 204
    with anyio.fail_after(TOLD_AGAIN):
        assert (await client.call("DELETE", f"{CHAT}/{turn_id}"))[0] == 202


async def test_a_worker_that_never_heard_of_the_turn_tells_the_same(
    mortal: Worker, other: Client, settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    async with asking(mortal) as first:
        await first.until(2)
        async with following(other, first.turn_id) as remote:
            await remote.until(2)
            mortal.kill()
            whole = await remote.rest()
    async with running(settings) as third, following(third, first.turn_id) as reader:
        assert await reader.rest() == whole


async def test_a_viewer_that_has_more_than_was_logged_gets_the_error_too(
    mortal: Worker, other: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, *(f" {n}" for n in range(300)), anyio.Event(), "never"))
    async with asking(mortal) as first:
        await first.until(2)
        held.set()
        # Killed in the middle of what comes: the last of it has hardly been logged.
        seen = list(await first.until(250))
        mortal.kill()
    async with following(other, first.turn_id, seen[-1]) as back:
        frames = seen + await back.rest()
    assert ending(frames) == "error"
    numbers = [int(id_of(frame).rsplit("-")[-1]) for frame in frames]
    assert sorted(set(numbers)) == numbers


async def test_a_key_of_a_killed_worker_starts_afresh_on_the_other(
    mortal: Worker, other: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"), say("All of it."))
    body, key = {"query": QUESTION}, {"Idempotency-Key": "k-death"}
    async with asking(mortal, key="k-death") as first:
        await first.until(2)
        mortal.kill()
    conflicts = 0
    with anyio.fail_after(SOON):
        while (answered := await other.call("POST", CHAT, json=body, headers=key))[0] == 409:
            # Until the lease has lapsed, nobody can tell that the turn is not running.
            assert answered[2]["Location"] == f"{CHAT}/{first.turn_id}"
            conflicts += 1
    status, _, headers = answered
    assert (status, conflicts > 0) == (200, True)
    assert headers["X-Turn-Id"] != first.turn_id
    async with following(other, headers["X-Turn-Id"]) as reader:
        assert (said(await reader.rest()), ending(reader.frames)) == ("All of it.", "stop")
    async with asking(other, key="k-death") as again:
        assert await again.rest() == reader.frames
    assert len(model.requests) == 2


async def test_a_key_of_a_worker_killed_before_its_first_event_starts_afresh(
    mortal: Worker, other: Client, model: ScriptedModel
) -> None:
    # A follow-up asks the model before it searches, and so before anything is sent.
    model.answers(say("One"), say(anyio.Event()), say("And the release?"), say("All of it."))
    await other.ask(QUESTION, conversation_id="c-death")
    body = {"query": "And the release?", "conversation_id": "c-death"}
    key = {"Idempotency-Key": "k-early"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broken, mortal, body, key)
        with anyio.fail_after(SOON):
            await model.asked(2)
        mortal.kill()
    with anyio.fail_after(SOON):
        while (answered := await other.call("POST", CHAT, json=body, headers=key))[0] == 409:
            pass
    assert answered[0] == 200
    async with following(other, answered[2]["X-Turn-Id"]) as reader:
        assert (said(await reader.rest()), ending(reader.frames)) == ("All of it.", "stop")


async def broken(client: Client, body: dict[str, str], headers: dict[str, str]) -> None:
    """Ask what the worker does not live to answer."""
    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", CHAT, json=body, headers=headers)


async def test_what_had_ended_before_the_worker_was_killed_is_whole(
    mortal: Worker, other: Client, settings: Settings, model: ScriptedModel
) -> None:
    async with asking(mortal) as first, following(other, first.turn_id) as remote:
        whole = await first.rest()
        assert await remote.rest() == whole
    mortal.kill()
    await mortal.ended()
    async with running(settings) as third, following(third, first.turn_id) as reader:
        assert await reader.rest() == whole
    assert ending(whole) == "stop"
