"""Tests of workers that shut down while turns are running."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.redis_proxy import RedisProxy
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import QUESTION, SOON, asking, data_of, ending, following, name_of, said
from tests.workers import PROJECT, START_LIMIT, environment, worker

pytestmark = pytest.mark.anyio

# Seconds for a worker to exit when it is idle, or after a second signal.
AT_ONCE = 5
SHUTTING_DOWN = "urn:chrysopedia:problem:shutting-down"


@pytest.fixture
async def other(model_settings: Settings) -> AsyncIterator[Client]:
    """The worker that keeps running."""
    async with running(model_settings) as client:
        yield client


async def wait_until_draining(client: Client) -> None:
    """Wait until the worker reports that it is draining."""
    with anyio.fail_after(1):
        while (answered := await client.call("GET", "/readyz"))[0] == 200:
            pass
    status, ready, _ = answered
    assert (status, ready["ready"], ready["parts"]["worker"]) == (503, False, "draining")


async def test_a_draining_worker_refuses_questions_and_serves_viewers_to_the_end(
    model_settings: Settings, other: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with worker(environment(model_settings)) as leaving:
        async with asking(leaving) as reader, following(other, reader.turn_id) as remote:
            await reader.until(2)
            leaving.terminate()
            await wait_until_draining(leaving)
            status, problem, headers = await leaving.call("POST", CHAT, json={"query": QUESTION})
            assert (status, problem["type"]) == (503, SHUTTING_DOWN)
            assert int(headers["Retry-After"]) > 0
            async with following(leaving, reader.turn_id, reader.frames[0]) as late:
                assert await late.until(1) == reader.frames[1:]
                held.set()
                frames = await reader.rest()
                assert await late.rest() == frames[1:]
            assert await remote.rest() == frames
        with anyio.fail_after(AT_ONCE):
            assert await leaving.ended() == 0
    assert any("waiting for running answers (1)" in line for line in leaving.log)
    assert (said(frames), ending(frames)) == ("One two", "stop")
    assert data_of(frames[-1])["memory"] == "kept"
    async with following(other, reader.turn_id) as afterwards:
        assert await afterwards.rest() == frames


async def test_turns_left_after_the_drain_time_end_with_an_error_and_are_remembered(
    model_settings: Settings, other: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", anyio.Event(), "never"))
    hasty = environment(replace(model_settings, drain_time=0.5))
    async with worker(hasty) as leaving:
        async with asking(leaving, conversation_id=await other.conversation("c")) as reader:
            await reader.until(3)
            leaving.terminate()
            frames = await reader.rest()
        with anyio.fail_after(AT_ONCE):
            assert await leaving.ended() == 0
    assert [name_of(frame) for frame in frames] == ["sources", "token", "token", "error"]
    problem = data_of(frames[-1])
    assert (problem["type"], problem["retryable"]) == (SHUTTING_DOWN, True)
    async with following(other, reader.turn_id) as afterwards:
        assert await afterwards.rest() == frames
    path = f"/api/v1/conversations/{await other.conversation('c')}"
    _, conversation, _ = await other.call("GET", path)
    assert [turn["answer"] for turn in conversation["turns"]] == ["One two"]


async def test_an_idle_worker_exits_immediately(model_settings: Settings) -> None:
    async with worker(environment(model_settings)) as leaving:
        assert (await leaving.call("GET", "/readyz"))[0] == 200
        leaving.terminate()
        with anyio.fail_after(AT_ONCE):
            assert await leaving.ended() == 0


async def test_a_second_signal_shuts_down_immediately(
    model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event()))
    async with worker(environment(model_settings)) as leaving:
        async with asking(leaving) as reader:
            await reader.until(2)
            leaving.terminate()
            await wait_until_draining(leaving)
            leaving.terminate()
            assert data_of((await reader.rest())[-1])["type"] == SHUTTING_DOWN
        with anyio.fail_after(AT_ONCE):
            assert await leaving.ended() == 0


async def test_a_worker_exits_while_redis_is_unavailable(
    model_settings: Settings, redis_url: str, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with RedisProxy(redis_url) as proxy:
        settings = replace(model_settings, redis_url=proxy.url, memory_timeout=0.3)
        async with worker(environment(settings)) as leaving:
            async with asking(leaving) as reader:
                await reader.until(2)
                proxy.freeze()
                leaving.terminate()
                held.set()
                frames = await reader.rest()
            with anyio.fail_after(SOON):
                assert await leaving.ended() == 0
    assert (said(frames), data_of(frames[-1])["memory"]) == ("One two", "unavailable")


async def test_viewers_of_another_workers_turn_are_disconnected_after_the_drain_time(
    model_settings: Settings, other: Client, model: ScriptedModel
) -> None:
    while_draining, afterwards = anyio.Event(), anyio.Event()
    model.answers(say("One", while_draining, " two", afterwards, " three"))
    hasty = environment(replace(model_settings, drain_time=1.0))
    async with asking(other) as owner, worker(hasty) as leaving:
        async with following(leaving, owner.turn_id) as remote:
            await remote.until(2)
            leaving.terminate()
            await wait_until_draining(leaving)
            while_draining.set()
            seen = list(await remote.until(3))
            # The reply breaks off, so that no client takes it for the whole answer.
            with pytest.raises(aiohttp.ClientPayloadError):
                await remote.rest()
            assert remote.frames == seen
        with anyio.fail_after(AT_ONCE):
            assert await leaving.ended() == 0
        async with following(other, owner.turn_id, seen[-1]) as resumed:
            afterwards.set()
            frames = seen + await resumed.rest()
        assert frames == await owner.rest()
    assert (said(frames), ending(frames)) == ("One two three", "stop")


@asynccontextmanager
async def plain_uvicorn(
    settings: Settings,
) -> AsyncIterator[tuple[Process, str]]:
    """Run the application with uvicorn's own command; yields the process and its URL."""
    command = "-m uvicorn app.asgi:create_app --factory --port 0"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command.split(),
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **environment(settings)},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        said, found = "", None
        with anyio.fail_after(START_LIMIT):
            while not (found := re.search(r"running on (http://\S+)", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("goes_on", [True, False], ids=["the model finishes", "the model hangs"])
async def test_viewers_get_the_end_of_the_stream_under_plain_uvicorn(
    model_settings: Settings, model: ScriptedModel, goes_on: bool
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    settings = replace(model_settings, drain_time=30.0 if goes_on else 0.5)
    async with plain_uvicorn(settings) as (process, url), aiohttp.ClientSession() as http:
        async with asking(Client(http, url)) as reader:
            await reader.until(2)
            process.send_signal(signal.SIGTERM)
            if goes_on:
                held.set()
            frames = await reader.rest()
        with anyio.fail_after(SOON):
            # uvicorn raises the signal again when it has finished.
            assert await process.wait() == -signal.SIGTERM
    assert ending(frames) == ("stop" if goes_on else "error")
    assert said(frames) == ("One two" if goes_on else "One")
