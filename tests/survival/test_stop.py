"""Tests of stopping turns from any worker."""

import anyio
import pytest

from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client
from tests.survival.reading import SOON, asking, ending, following, said

pytestmark = pytest.mark.anyio

Workers = tuple[Client, Client]
# Seconds until the model's connection is closed, as documented.
STOP_LIMIT = 0.5


async def stop(worker: Client, turn_id: str) -> int:
    return (await worker.call("DELETE", f"{CHAT}/{turn_id}"))[0]


async def test_the_other_worker_stops_a_turn_within_half_a_second(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    one, other = workers
    took: list[float] = []
    for _ in range(4):
        model.disconnected = anyio.Event()
        async with asking(one) as first:
            await first.until(2)
            asked = anyio.current_time()
            assert await stop(other, first.turn_id) == 202
            with anyio.fail_after(SOON):
                await model.disconnected.wait()
            took.append(anyio.current_time() - asked)
            assert ending(await first.rest()) == "stopped"
    # The best of them, since the machine is busy.
    assert min(took) < STOP_LIMIT, took


async def test_viewers_on_both_workers_see_the_stop_and_the_answer_is_remembered(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", anyio.Event(), "never"))
    one, other = workers
    async with (
        asking(one) as first,
        following(one, first.turn_id) as second,
        following(other, first.turn_id) as third,
        following(other, first.turn_id) as fourth,
    ):
        await fourth.until(3)
        assert await stop(other, first.turn_id) == 202
        whole = await first.rest()
        for reader in (second, third, fourth):
            assert await reader.rest() == whole
    assert (said(whole), ending(whole)) == ("One two", "stopped")
    for worker in workers:
        _, kept, _ = await worker.call("GET", f"/api/v1/conversations/{first.conversation_id}")
        assert [turn["answer"] for turn in kept["turns"]] == ["One two"]


async def test_a_turn_can_be_stopped_right_after_its_headers(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say(anyio.Event(), "never"))
    for n in range(4):
        one, other = workers if n % 2 else reversed(workers)
        async with asking(one) as first:
            assert await stop(other, first.turn_id) == 202
            assert ending(await first.rest()) == "stopped"


async def test_a_stop_does_not_end_other_turns(workers: Workers, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    one, other = workers
    async with asking(one) as first, asking(one) as second, asking(other) as third:
        for reader in (first, second, third):
            await reader.until(2)
        assert await stop(other, first.turn_id) == 202
        assert ending(await first.rest()) == "stopped"
        held.set()
        for reader in (second, third):
            assert (said(await reader.rest()), ending(reader.frames)) == ("One two", "stop")


async def test_stopping_again_or_after_the_end_changes_nothing(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"), say("Whole"))
    one, other = workers
    async with asking(one) as stopped:
        await stopped.until(2)
        assert [await stop(worker, stopped.turn_id) for worker in (other, one)] == [202, 202]
        await stopped.rest()
    async with asking(one) as ended:
        await ended.rest()
    for reader in (stopped, ended):
        for worker in workers:
            assert await stop(worker, reader.turn_id) == 202
        async with following(other, reader.turn_id) as replay:
            assert await replay.rest() == reader.frames


async def test_an_unknown_turn_cannot_be_stopped(workers: Workers) -> None:
    for worker in workers:
        for unknown in ("t_" + "0" * 32, "else"):
            assert await stop(worker, unknown) == 404
