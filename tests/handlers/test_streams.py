"""A turn lives apart from its connections: viewers come, go, come back, and stop it."""

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, answer, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


async def test_a_viewer_that_comes_back_gets_the_rest_once_and_in_order(
    chat: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", " two", held, " three", " four"))
    async with chat.stream({"query": QUESTION}) as stream:
        turn_id = stream.response.headers["X-Turn-Id"]
        seen = await stream.until("token")
    held.set()
    async with chat.follow(turn_id, after=seen[-1].id) as stream:
        assert stream.response.headers["X-Turn-Id"] == turn_id
        events = seen + await stream.rest()
    assert answer(events) == "One two three four"
    assert [e.id for e in events] == [f"{turn_id}-{n}" for n in range(len(events))]
    assert events[-1].name == "done"


async def test_a_post_with_a_cursor_goes_on_and_asks_nothing_anew(
    chat: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with chat.stream({"query": QUESTION}) as stream:
        seen = await stream.until("token")
    held.set()
    async with chat.stream({"query": QUESTION}, {"Last-Event-ID": seen[-1].id}) as stream:
        assert answer(seen + await stream.rest()) == "One two"
    assert len(model.requests) == 1


async def test_several_viewers_of_a_turn_get_every_event_once(
    chat: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two", " three"))
    async with chat.stream({"query": QUESTION}) as first:
        turn_id = first.response.headers["X-Turn-Id"]
        seen = await first.until("token")
        async with chat.follow(turn_id) as second, chat.follow(turn_id, seen[0].id) as third:
            held.set()
            events = seen + await first.rest()
            assert await second.rest() == events
            assert await third.rest() == events[1:]
    async with chat.follow(turn_id) as late:
        assert await late.rest() == events


async def test_an_ended_turn_replays_for_a_while_then_is_gone(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    async with running(replace(chat_settings, turn_replay=0.05)) as service:
        events = await service.ask(QUESTION)
        path = f"{CHAT}/{events[-1].data['turn_id']}"
        with anyio.fail_after(5):
            while (await service.call("GET", path))[0] != 404:
                pass
        status, problem, _ = await service.call("DELETE", path)
    assert (status, problem["status"]) == (404, 404)


async def test_cursors_are_held_against_their_turn(chat: Client) -> None:
    one, other = [await chat.ask(QUESTION) for _ in range(2)]
    path = f"{CHAT}/{one[-1].data['turn_id']}"
    for cursor, expected in [
        (one[-1].id, 204),
        (other[0].id, 400),
        (one[-1].id.rsplit("-", 1)[0] + "-999", 400),
        ("$", 400),
        (one[0].id, 200),
    ]:
        async with chat.http.get(chat.url + path, headers={"Last-Event-ID": cursor}) as response:
            assert response.status == expected, cursor


async def test_a_stop_closes_the_model_tells_the_viewers_and_keeps_what_was_said(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", anyio.Event(), "never"))
    async with chat.stream({"query": QUESTION}) as stream:
        seen = await stream.until("token")
        seen += await stream.until("token")
        turn_id = stream.response.headers["X-Turn-Id"]
        status, _, _ = await chat.call("DELETE", f"{CHAT}/{turn_id}")
        events = seen + await stream.rest()
    assert status == 202
    done = events[-1].data
    assert (events[-1].name, done["finish_reason"]) == ("done", "stopped")
    with anyio.fail_after(5):
        await model.disconnected.wait()
    path = f"/api/v1/conversations/{done['conversation_id']}"
    (kept,) = (await chat.call("GET", path))[1]["turns"]
    assert kept["answer"] == answer(events) == "One two"
    assert kept["finish_reason"] == "stopped"
    assert (await chat.call("DELETE", f"{CHAT}/{turn_id}"))[0] == 202


async def test_a_turn_that_nobody_watches_is_abandoned_after_its_grace(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    async with running(replace(chat_settings, turn_grace=0.2, llm_silence_timeout=9.0)) as service:
        async with service.stream({"query": QUESTION}) as stream:
            turn_id = stream.response.headers["X-Turn-Id"]
            await stream.until("token")
        with anyio.fail_after(5):
            await model.disconnected.wait()
        async with service.follow(turn_id) as stream:
            events = await stream.rest()
    assert events[-1].data["finish_reason"] == "abandoned"
    assert answer(events) == "One"


async def test_a_hang_up_does_not_end_the_turn_within_its_grace(
    chat: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with chat.stream({"query": QUESTION}) as stream:
        turn_id = stream.response.headers["X-Turn-Id"]
        await stream.until("token")
    # Any reply to a later request shows that the hang-up had its time.
    await chat.call("GET", "/readyz")
    assert not model.disconnected.is_set()
    held.set()
    async with chat.follow(turn_id) as stream:
        assert answer(await stream.rest()) == "One two"


async def test_heartbeats_are_comments_without_an_id(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    async with (
        running(replace(chat_settings, heartbeat=0.01)) as service,
        service.stream({"query": QUESTION}) as stream,
    ):
        text = b""
        with anyio.fail_after(5):
            while b": ping\n\n" not in text:
                text += await stream.response.content.readany()
        held.set()
        text += await stream.response.content.read()
    comments = [frame for frame in text.split(b"\n\n") if frame.startswith(b":")]
    assert set(comments) == {b": ping"}


async def test_a_key_joins_nothing_twice(chat: Client, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    key, body = {"Idempotency-Key": "k-1"}, {"query": QUESTION}
    async with chat.stream(body, key) as stream:
        turn_id = stream.response.headers["X-Turn-Id"]
        seen = await stream.until("token")
        status, problem, headers = await chat.call("POST", CHAT, json=body, headers=key)
        assert (status, problem["status"]) == (409, 409)
        assert headers["Location"] == f"{CHAT}/{turn_id}"
        status, problem, _ = await chat.call("POST", CHAT, json={"query": "Else?"}, headers=key)
        assert (status, problem["status"]) == (422, 422)
        held.set()
        events = seen + await stream.rest()
    async with chat.stream(body, key) as stream:
        assert stream.response.headers["X-Turn-Id"] == turn_id
        assert await stream.rest() == events
    assert len(model.requests) == 1


async def test_a_key_whose_turn_failed_starts_afresh(chat: Client, model: ScriptedModel) -> None:
    model.answers(say(), say("Now [1]."))
    key, body = {"Idempotency-Key": "k-2"}, {"query": QUESTION}
    async with chat.stream(body, key) as stream:
        assert (await stream.rest())[-1].name == "error"
    async with chat.stream(body, key) as stream:
        assert answer(await stream.rest()) == "Now [1]."
