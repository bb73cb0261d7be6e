"""Tests of turns that lose their viewers."""

from collections.abc import AsyncIterator

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, running
from tests.survival.reading import SOON, asking, ending, following, said

pytestmark = pytest.mark.anyio

Workers = tuple[Client, Client]
GRACE = 0.5


@pytest.fixture
async def workers(model_settings: Settings) -> AsyncIterator[Workers]:
    """Two workers with a short grace time."""
    short = replace(model_settings, turn_grace=GRACE)
    async with running(short) as one, running(short) as other:
        yield one, other


async def wait_for_abandonment(model: ScriptedModel) -> None:
    """Wait until a turn closes its connection to the model."""
    with anyio.fail_after(SOON):
        await model.disconnected.wait()
    model.disconnected = anyio.Event()


async def wait_for_several_grace_times(worker: Client, model: ScriptedModel) -> None:
    """Wait until four turns without viewers were abandoned, one after the other."""
    for _ in range(4):
        async with asking(worker) as gone:
            await gone.until(1)
        await wait_for_abandonment(model)


async def test_a_turn_without_viewers_is_abandoned_after_the_grace_time(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    one, other = workers
    async with asking(one) as first:
        await first.until(2)
    left = anyio.current_time()
    await wait_for_abandonment(model)
    assert anyio.current_time() - left > GRACE / 2
    async with following(other, first.turn_id) as reader:
        assert (said(await reader.rest()), ending(reader.frames)) == ("One", "abandoned")
    for worker in workers:
        _, kept, _ = await worker.call("GET", f"/api/v1/conversations/{first.conversation_id}")
        assert [turn["answer"] for turn in kept["turns"]] == ["One"]


async def test_a_viewer_on_the_other_worker_keeps_the_turn_running(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"), say(anyio.Event(), "never"))
    one, other = workers
    async with asking(one) as first, following(other, first.turn_id) as reader:
        await reader.until(2)
        first.disconnect()
        await wait_for_several_grace_times(one, model)
        held.set()
        assert (said(await reader.rest()), ending(reader.frames)) == ("One two", "stop")


async def test_a_viewer_that_returns_in_time_finds_the_turn_running(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"), say(anyio.Event(), "never"))
    one, other = workers
    async with asking(one) as first:
        seen = list(await first.until(2))
    async with following(other, first.turn_id, seen[-1]) as reader:
        await wait_for_several_grace_times(one, model)
        held.set()
        frames = seen + await reader.rest()
    assert (said(frames), ending(frames)) == ("One two", "stop")


async def test_a_turn_is_abandoned_after_its_last_remote_viewer_leaves(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    one, other = workers
    async with (
        asking(one) as first,
        following(other, first.turn_id) as second,
        following(other, first.turn_id) as third,
    ):
        await third.until(2)
        first.disconnect()
        second.disconnect()
        await wait_for_several_grace_times(one, model)
        # The third viewer keeps it running.
        async with following(one, first.turn_id, third.frames[0]) as back:
            assert await back.until(1) == third.frames[1:2]
        third.disconnect()
        await wait_for_abandonment(model)
    async with following(other, first.turn_id) as late:
        assert (said(await late.rest()), ending(late.frames)) == ("One", "abandoned")


async def test_viewers_that_alternate_between_workers_keep_the_turn_running(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"), say(anyio.Event(), "never"))
    async with asking(workers[0]) as first:
        seen = list(await first.until(2))
    for n in range(3):
        async with following(workers[(n + 1) % 2], first.turn_id, seen[0]) as reader:
            assert await reader.until(1) == seen[1:]
            async with asking(workers[0]) as gone:
                await gone.until(1)
            await wait_for_abandonment(model)
    async with following(workers[1], first.turn_id, seen[-1]) as reader:
        held.set()
        frames = seen + await reader.rest()
    assert (said(frames), ending(frames)) == ("One two", "stop")
