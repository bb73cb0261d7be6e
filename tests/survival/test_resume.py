"""Tests of viewers on another worker than the turn's: every event once, in order, no gap."""

from contextlib import AsyncExitStack
from typing import Literal

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, Step, say
from tests.service import CHAT, Client, running
from tests.survival.reading import Reader, asking, ending, following, id_of, said, status_after

pytestmark = pytest.mark.anyio

Workers = tuple[Client, Client]
both_ways = pytest.mark.parametrize("method", ["GET", "POST"])
# Characters that break a log that does not keep bytes as they are.
AWKWARD = ("One", " \u2028two\n\n", " \x1e\x1fend\x1fdone\x1e", " \x00three\r", " 🎛 four")


@both_ways
async def test_a_viewer_can_resume_on_the_other_worker_after_any_event(
    workers: Workers, model: ScriptedModel, method: Literal["GET", "POST"]
) -> None:
    held = anyio.Event()
    model.answers(say(*AWKWARD, held, " five", " six"))
    one, other = workers
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(asking(one))
        seen = list(await first.until(1 + len(AWKWARD)))
        joined: list[Reader] = []
        for number, frame in enumerate(seen):
            view = following(other, first.turn_id, frame, method)
            joined.append(await stack.enter_async_context(view))
            assert await joined[-1].until(len(seen) - number - 1) == seen[number + 1 :]
        held.set()
        whole = await first.rest()
        assert said(whole) == "".join(AWKWARD) + " five six"
        for number, reader in enumerate(joined):
            assert await reader.rest() == whole[number + 1 :]
    assert len(model.requests) == 1


@both_ways
async def test_an_ended_turn_is_replayed_on_the_other_worker_after_any_event(
    workers: Workers, model: ScriptedModel, method: Literal["GET", "POST"]
) -> None:
    model.answers(say(*AWKWARD))
    one, other = workers
    async with asking(one) as first:
        whole = await first.rest()
    for number, frame in enumerate(whole[:-1]):
        async with following(other, first.turn_id, frame, method) as reader:
            assert await reader.rest() == whole[number + 1 :]
    for worker in workers:
        assert await status_after(worker, first.turn_id, id_of(whole[-1]), method) == 204
    assert len(model.requests) == 1


async def test_viewers_on_both_workers_get_the_same_stream(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two [1]."))
    one, other = workers
    async with (
        asking(one) as first,
        following(one, first.turn_id) as second,
        following(other, first.turn_id) as third,
        following(other, first.turn_id) as fourth,
    ):
        await fourth.until(2)
        held.set()
        whole = await first.rest()
        for reader in (second, third, fourth):
            assert await reader.rest() == whole
    assert (said(whole), ending(whole)) == ("One two [1].", "stop")


async def test_viewers_that_join_during_a_burst_get_each_event_once(
    workers: Workers, model: ScriptedModel
) -> None:
    gates, burst = [anyio.Event() for _ in range(20)], [" said"] * 100
    steps: list[Step] = []
    for gate in gates:
        steps += [gate, *burst]
    model.answers(say(*steps))
    one, other = workers
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(asking(one))
        joined: list[tuple[int, Reader]] = []
        for number, gate in enumerate(gates):
            at = len(await first.until(1 + number * len(burst))) - 1
            # They join where the first viewer is, while the next tokens arrive.
            gate.set()
            for after in (first.frames[at], first.frames[at // 2]):
                view = following(other, first.turn_id, after)
                joined.append((first.frames.index(after), await stack.enter_async_context(view)))
        whole = await first.rest()
        assert said(whole) == " said" * len(burst) * len(gates)
        for at, reader in joined:
            assert await reader.rest() == whole[at + 1 :]


async def test_a_viewer_can_change_workers_after_every_event(
    workers: Workers, model: ScriptedModel
) -> None:
    gates = [anyio.Event() for _ in range(12)]
    steps: list[Step] = []
    for n, gate in enumerate(gates):
        steps += [gate, f" {n}"]
    model.answers(say(*steps))
    async with asking(workers[0]) as first:
        frames = list(await first.until(1))
    for n, gate in enumerate(gates):
        # The last event of one worker may not be logged yet.
        async with following(workers[n % 2], first.turn_id, frames[-1]) as reader:
            gate.set()
            frames.append((await reader.until(1))[0])
    async with following(workers[1], first.turn_id) as reader:
        whole = await reader.rest()
    assert frames == whole[: len(frames)]
    assert said(frames) == "".join(f" {n}" for n in range(len(gates)))


async def test_a_turn_is_found_on_the_other_worker_as_soon_as_its_headers_are_sent(
    workers: Workers, model: ScriptedModel
) -> None:
    model.answers(say(anyio.Event(), "never"))
    for n in range(12):
        one, other = workers if n % 2 else reversed(workers)
        async with asking(one) as first, following(other, first.turn_id) as reader:
            assert (reader.turn_id, reader.conversation_id) == (
                first.turn_id,
                first.conversation_id,
            )
            assert await reader.until(1) == await first.until(1)


async def test_the_other_worker_rejects_cursors_of_other_turns(
    model_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("Hello"), say("One", held))
    # A cursor beyond the log is waited for as long as a crash takes to be detected.
    settings = replace(model_settings, turn_lease=0.2)
    async with (
        running(settings) as one,
        running(settings) as other,
        asking(one) as foreign,
        asking(one) as first,
    ):
        await foreign.rest()
        await first.until(2)
        for running_still in (True, False):
            for cursor, expected in [
                (id_of(foreign.frames[0]), 400),
                (f"{first.turn_id}-999", 400),
                ("$", 400),
                (id_of(first.frames[0]), 200),
            ]:
                status = await status_after(other, first.turn_id, cursor)
                assert status == expected, (cursor, running_still)
            status = await status_after(other, first.turn_id, f"{first.turn_id}-999", "POST")
            assert status == 400
            held.set()
            await first.rest()


async def test_an_unknown_turn_is_not_found(workers: Workers) -> None:
    unknown = "t_" + "0" * 32
    for worker in workers:
        for name in (unknown, "else", "t_*"):
            assert (await worker.call("GET", f"{CHAT}/{name}"))[0] == 404
        assert await status_after(worker, unknown, f"{unknown}-0") == 404
        assert await status_after(worker, unknown, f"{unknown}-0", "POST") == 404


async def test_an_ended_turn_outlives_its_worker(
    model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say(*AWKWARD))
    async with running(model_settings) as one, asking(one) as first:
        whole = await first.rest()
    # This worker has never served the turn.
    async with (
        running(model_settings) as other,
        following(other, first.turn_id) as reader,
    ):
        assert await reader.rest() == whole
        assert await status_after(other, first.turn_id, id_of(whole[-1])) == 204
