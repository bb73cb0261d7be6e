"""Tests of two workers on a Redis cluster of three nodes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.cluster import Cluster, cluster
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import QUESTION, SOON, asking, data_of, ending, following, said

pytestmark = pytest.mark.anyio

Workers = tuple[Client, Client]
# Enough turns for every node to have some of their keys.
MANY = 40


# Enough turns for the lost node to have some of their keys.
SEVERAL = 12
# Seconds for a token to arrive whatever Redis does: a fraction of a command's timeout.
AT_ONCE = 0.5


@asynccontextmanager
async def stopped(nodes: Cluster) -> AsyncIterator[None]:
    """Stop a node; the cluster fails, since no other node has its slots."""
    await nodes.nodes[1].stop()
    await nodes.wait_for_state("fail")
    yield
    await nodes.nodes[1].start()
    await nodes.wait_for_state()


@asynccontextmanager
async def frozen(nodes: Cluster) -> AsyncIterator[None]:
    """Freeze a node before the others notice."""
    nodes.nodes[1].freeze()
    yield
    nodes.nodes[1].thaw()
    await nodes.wait_for_state()


Gone = Callable[[Cluster], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="module")
async def nodes(anyio_backend: object) -> AsyncIterator[Cluster]:
    """A cluster; tests that stop nodes start them again."""
    async with cluster() as nodes:
        yield nodes


@pytest.fixture
def cluster_settings(model_settings: Settings, nodes: Cluster) -> Settings:
    """Settings of a worker on the emptied cluster."""
    nodes.flush()
    return replace(model_settings, redis_url=nodes.url)


@pytest.fixture
async def workers(cluster_settings: Settings) -> AsyncIterator[Workers]:
    """Two workers that share nothing but the cluster and the database."""
    async with running(cluster_settings) as one, running(cluster_settings) as other:
        yield one, other


async def memory_of(worker: Client) -> str:
    """Return the state of memory in `/readyz`."""
    with anyio.fail_after(SOON):
        _, state, _ = await worker.call("GET", "/readyz")
    return str(state["parts"]["memory"])


async def turns_of(worker: Client, conversation_id: str) -> list[str]:
    """Return the answers of a conversation."""
    _, kept, _ = await worker.call("GET", f"/api/v1/conversations/{conversation_id}")
    return [turn["answer"] for turn in kept["turns"]]


async def test_a_conversation_continues_on_the_other_worker(
    workers: Workers, model: ScriptedModel
) -> None:
    one, other = workers
    model.answers(say("One"), say("And how slow should it be?"), say("Two"))
    conversation = await one.conversation("c")
    async with asking(one, conversation_id=conversation) as first:
        assert data_of((await first.rest())[-1])["memory"] == "kept"
    events = await other.ask("And how slow?", conversation_id=conversation)
    assert events[-1].data["memory"] == "kept"
    assert "One" in str(model.requests[-1].messages)
    assert await turns_of(one, conversation) == ["One", "Two"]
    path = f"/api/v1/conversations/{conversation}"
    assert (await other.call("DELETE", path))[0] == 204
    assert (await one.call("GET", path))[0] == 404


async def test_the_other_worker_serves_an_answer_while_it_runs_and_replays_it(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", " two", held, " three"))
    one, other = workers
    async with asking(one) as first:
        seen = await first.until(3)
        async with following(other, first.turn_id, seen[1]) as remote:
            await remote.until(1)
            held.set()
            whole = await first.rest()
            assert await remote.rest() == whole[2:]
    assert said(whole) == "One two three"
    async with following(other, first.turn_id, whole[0]) as late:
        assert await late.rest() == whole[1:]


async def test_the_other_worker_stops_a_turn(workers: Workers, model: ScriptedModel) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    one, other = workers
    async with asking(one) as first, following(other, first.turn_id) as remote:
        await remote.until(2)
        assert (await other.call("DELETE", f"{CHAT}/{first.turn_id}"))[0] == 202
        with anyio.fail_after(SOON):
            await model.disconnected.wait()
        assert ending(await first.rest()) == "stopped"
        assert await remote.rest() == first.frames
    assert await turns_of(other, first.conversation_id) == ["One"]


async def test_an_idempotency_key_works_across_workers(
    workers: Workers, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    one, other = workers
    headers = {"Idempotency-Key": "key-of-a-question-1"}
    async with asking(one, key="key-of-a-question-1") as first:
        await first.until(2)
        body = {"query": QUESTION}
        status, _, answered = await other.call("POST", CHAT, json=body, headers=headers)
        assert (status, answered["Location"]) == (409, f"{CHAT}/{first.turn_id}")
        async with following(other, first.turn_id) as remote:
            held.set()
            whole = await remote.rest()
    async with asking(other, key="key-of-a-question-1") as again:
        assert await again.rest() == whole
    status, _, _ = await other.call("POST", CHAT, json={"query": "Else?"}, headers=headers)
    assert status == 422
    assert len(model.requests) == 1


async def test_keys_of_concurrent_turns_spread_over_all_nodes_and_expire(
    workers: Workers, model: ScriptedModel, nodes: Cluster
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with AsyncExitStack() as stack:
        pairs = []
        for n in range(MANY):
            one, other = workers if n % 2 else reversed(workers)
            first = await stack.enter_async_context(asking(one, key=f"key-of-a-question-{n}"))
            pairs.append((first, await stack.enter_async_context(following(other, first.turn_id))))
        for first, remote in pairs:
            assert await remote.until(2) == await first.until(2)
        held.set()
        for first, remote in pairs:
            assert await remote.rest() == await first.rest()
            assert (said(first.frames), ending(first.frames)) == ("One two", "stop")
    for node in nodes.nodes:
        with node.client() as client:
            keys = [key.decode() for key in client.scan_iter()]
            assert {key.partition(":")[0] for key in keys} >= {"turn", "conversation"}
            assert [key for key in keys if client.ttl(key) < 0] == []


@pytest.mark.parametrize("gone", [stopped, frozen])
async def test_a_lost_node_delays_no_viewer_and_everything_is_logged_once_it_is_back(
    workers: Workers, model: ScriptedModel, nodes: Cluster, gone: Gone
) -> None:
    gates = [anyio.Event() for _ in range(3)]
    model.answers(say("One", *(step for gate in gates for step in (gate, " more"))))
    one, other = workers
    async with AsyncExitStack() as stack:
        pairs = []
        for _ in range(SEVERAL):
            first = await stack.enter_async_context(asking(one))
            pairs.append((first, await stack.enter_async_context(following(other, first.turn_id))))
        for _, remote in pairs:
            await remote.until(2)
        async with gone(nodes):
            assert await memory_of(other) == "unavailable"
            for number, gate in enumerate(gates):
                gate.set()
                for first, _ in pairs:
                    with anyio.fail_after(AT_ONCE):
                        await first.until(3 + number)
            for first, _ in pairs:
                assert ending(await first.rest()) == "stop"
            for key in ("key-of-a-question-1", "key-of-a-question-2", "key-of-a-question-3"):
                async with asking(other, key=key) as meanwhile:
                    assert ending(await meanwhile.rest()) == "stop"
        for first, remote in pairs:
            assert await remote.rest() == first.frames
    assert await memory_of(other) == "ok"
    for first, _ in pairs:
        async with following(other, first.turn_id) as late:
            assert await late.rest() == first.frames
    async with asking(one, conversation_id=await one.conversation("c")) as reader:
        assert data_of((await reader.rest())[-1])["memory"] == "kept"
    assert await turns_of(other, await one.conversation("c")) == ["One more more more"]


async def test_a_worker_starts_and_answers_while_the_cluster_is_down(
    cluster_settings: Settings, model: ScriptedModel, nodes: Cluster
) -> None:
    for node in nodes.nodes:
        await node.stop()
    async with running(cluster_settings) as worker:
        assert await memory_of(worker) == "unavailable"
        async with asking(worker, key="key-of-a-question-1") as reader:
            frames = await reader.rest()
        assert (said(frames), data_of(frames[-1])["memory"]) == ("Hello world", "unavailable")
        for node in nodes.nodes:
            await node.start()
        await nodes.wait_for_state()
        assert await memory_of(worker) == "ok"
        async with asking(worker, conversation_id=await worker.conversation("c")) as reader:
            assert data_of((await reader.rest())[-1])["memory"] == "kept"
        assert await turns_of(worker, await worker.conversation("c")) == ["Hello world"]
