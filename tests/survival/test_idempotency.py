"""Tests of idempotency keys across two workers."""

from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import anyio
import pytest

from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client
from tests.survival.reading import QUESTION, SOON, Reader, asking, ending, following, said

pytestmark = pytest.mark.anyio

RELEASE = "How fast should the release be when I side-chain the bass to the kick?"

Workers = tuple[Client, Client]
BODY = {"query": QUESTION}


async def test_a_repeated_request_gets_the_location_of_the_running_stream(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    one, other = workers
    async with asking(one, key="key-of-a-question-1") as first:
        await first.until(2)
        key = {"Idempotency-Key": "key-of-a-question-1"}
        status, problem, headers = await other.call("POST", CHAT, json=BODY, headers=key)
        assert (status, problem["type"]) == (409, "urn:chrysopedia:problem:turn-running")
        assert headers["Location"] == f"{CHAT}/{first.turn_id}"
        async with following(other, headers["Location"].removeprefix(f"{CHAT}/")) as reader:
            held.set()
            assert await reader.rest() == await first.rest()
    assert len(model.requests) == 1


async def test_a_turn_without_events_can_be_followed(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    # A follow-up calls the model before the first event is sent.
    model.answers(say("One"), say(held, RELEASE), say("Two"))
    one, other = workers
    conversation = await one.conversation("c")
    await one.ask(QUESTION, conversation_id=conversation)
    body = {"query": "And the release?", "conversation_id": conversation}
    key = {"Idempotency-Key": "key-of-a-question-early"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(one.call, "POST", CHAT, json=body, headers=key))
        with anyio.fail_after(SOON):
            await model.asked(2)
        status, _, headers = await other.call("POST", CHAT, json=body, headers=key)
        assert status == 409
        async with following(other, headers["Location"].removeprefix(f"{CHAT}/")) as reader:
            held.set()
            assert (said(await reader.rest()), ending(reader.frames)) == ("Two", "stop")
    assert len(model.requests) == 3


async def test_a_repeated_request_replays_the_finished_stream(
    workers: Workers, model: ScriptedModel
) -> None:
    one, other = workers
    async with asking(one, key="key-of-a-question-2") as first:
        await first.rest()
    for worker in (other, one, other):
        async with asking(worker, key="key-of-a-question-2") as again:
            assert again.turn_id == first.turn_id
            assert again.conversation_id == first.conversation_id
            assert await again.rest() == first.frames
    assert ending(first.frames) == "stop"
    assert len(model.requests) == 1


async def test_a_key_with_another_body_is_refused(workers: Workers, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    one, other = workers
    key = {"Idempotency-Key": "key-of-a-question-3"}
    async with asking(one, key="key-of-a-question-3") as first:
        for _ in ("running", "ended"):
            for body in ({"query": "Else?"}, {**BODY, "creator": "else"}):
                status, problem, _ = await other.call("POST", CHAT, json=body, headers=key)
                assert (status, problem["status"]) == (422, 422)
            held.set()
            await first.rest()
    assert len(model.requests) == 1


async def test_concurrent_requests_with_one_key_run_one_turn(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    keys = [f"key-of-a-question-{n}" for n in range(10)]
    async with AsyncExitStack() as stack:
        answered: dict[str, list[tuple[Client, aiohttp.ClientResponse]]] = {key: [] for key in keys}

        async def post(worker: Client, key: str) -> None:
            headers = {"Idempotency-Key": key}
            response = await worker.http.post(worker.url + CHAT, json=BODY, headers=headers)
            answered[key].append((worker, response))
            stack.callback(response.close)
            if response.status == 409:
                # The stream can be followed as soon as its location is known.
                turn_id = response.headers["Location"].removeprefix(f"{CHAT}/")
                await stack.enter_async_context(following(worker, turn_id))

        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks:
                for key in keys:
                    for worker in workers:
                        tasks.start_soon(post, worker, key)
        held.set()
        for both in answered.values():
            both.sort(key=lambda pair: pair[1].status)
            (_, won), (loser, lost) = both
            assert (won.status, lost.status) == (200, 409)
            first = Reader(won)
            assert lost.headers["Location"] == f"{CHAT}/{first.turn_id}"
            async with following(loser, first.turn_id) as reader:
                assert await reader.rest() == await first.rest()
            assert said(first.frames) == "One two"
    assert len(model.requests) == len(keys)


async def test_the_key_of_a_failed_turn_can_be_used_again(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("No", finish="error"), say("Now [1]."))
    one, other = workers
    async with asking(one, key="key-of-a-question-4") as first:
        assert ending(await first.rest()) == "error"
    async with asking(other, key="key-of-a-question-4") as second:
        assert second.turn_id != first.turn_id
        assert said(await second.rest()) == "Now [1]."
    async with asking(one, key="key-of-a-question-4") as third:
        assert (third.turn_id, await third.rest()) == (second.turn_id, second.frames)
    assert len(model.requests) == 2


async def test_each_key_and_each_request_without_one_runs_its_own_turn(
    workers: Workers, model: ScriptedModel
) -> None:
    turns = set()
    for worker in workers:
        for key in ("key-of-a-question-5", "key-of-a-question-6", "", ""):
            async with asking(worker, key=key) as reader:
                await reader.rest()
                turns.add(reader.turn_id)
    assert len(turns) == 6
    assert len(model.requests) == 6
