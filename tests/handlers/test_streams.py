"""Turns outlive connections: resuming, several viewers, stopping, idempotency keys."""

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, Stream, answer, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


async def test_reconnecting_viewer_receives_each_event_once_in_order(
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


async def test_post_with_last_event_id_resumes_without_a_new_question(
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


async def test_several_viewers_receive_each_event_once(chat: Client, model: ScriptedModel) -> None:
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


async def test_finished_turn_replays_until_it_expires(
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


async def test_last_event_id_must_belong_to_the_turn(chat: Client) -> None:
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


@pytest.mark.parametrize("none", ["", "null", "undefined"])
async def test_last_event_id_that_names_no_event_is_ignored(chat: Client, none: str) -> None:
    events = await chat.ask(QUESTION)
    path = f"{CHAT}/{events[-1].data['turn_id']}"
    for url, headers in [
        (path, {"Last-Event-ID": none}),
        (f"{path}?lastEventId={none}", {}),
        (f"{path}?lastEventId={none}", {"Last-Event-ID": none}),
    ]:
        async with chat.http.get(chat.url + url, headers=headers) as response:
            assert await Stream(response).rest() == events
    async with chat.stream({"query": QUESTION}, {"Last-Event-ID": none}) as stream:
        assert (await stream.rest())[0].id != events[0].id


async def test_last_event_id_may_be_a_query_parameter(chat: Client) -> None:
    events = await chat.ask(QUESTION)
    path = f"{CHAT}/{events[-1].data['turn_id']}"
    for method, url, headers, after in [
        ("GET", f"{path}?lastEventId={events[1].id}", {}, 1),
        ("POST", f"{CHAT}?lastEventId={events[1].id}", {}, 1),
        ("GET", f"{path}?lastEventId={events[1].id}", {"Last-Event-ID": "null"}, 1),
        ("GET", f"{path}?lastEventId={events[1].id}", {"Last-Event-ID": events[0].id}, 0),
    ]:
        async with chat.http.request(method, chat.url + url, headers=headers) as response:
            assert await Stream(response).rest() == events[after + 1 :]
    assert (await chat.call("GET", f"{path}?lastEventId=7"))[0] == 400
    assert (await chat.call("GET", f"{path}?lastEventId={events[-1].id}"))[0] == 204


async def test_stopping_a_turn_closes_the_model_request_and_stores_the_partial_answer(
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


async def test_turn_without_viewers_is_abandoned(
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


async def test_turn_survives_a_short_disconnect(chat: Client, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with chat.stream({"query": QUESTION}) as stream:
        turn_id = stream.response.headers["X-Turn-Id"]
        await stream.until("token")
    # Once a later request is answered, the service has seen the disconnect.
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


async def test_repeated_idempotency_key_is_answered_once(
    chat: Client, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    key, body = {"Idempotency-Key": "key-of-a-question-1"}, {"query": QUESTION}
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


async def test_addresses_have_the_path_that_a_proxy_removes(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    key, body = {"Idempotency-Key": "key-of-a-question-3"}, {"query": QUESTION}
    async with running(replace(chat_settings, root_path="/ai/chat")) as service:
        async with service.stream(body, key) as stream:
            turn_id = stream.response.headers["X-Turn-Id"]
            status, _, headers = await service.call("POST", CHAT, json=body, headers=key)
            assert (status, headers["Location"]) == (409, f"/ai/chat{CHAT}/{turn_id}")
            held.set()
            await stream.rest()
        _, document, _ = await service.call("GET", "/openapi.json")
        assert document["servers"] == [{"url": "/ai/chat"}]
        status, problem, _ = await service.call("GET", "/none")
        assert problem["detail"] == "GET /ai/chat/none is not available. See /ai/chat/docs."


async def test_idempotency_key_of_a_failed_turn_can_be_reused(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("No", finish="error"), say("Now [1]."))
    key, body = {"Idempotency-Key": "key-of-a-question-2"}, {"query": QUESTION}
    async with chat.stream(body, key) as stream:
        assert (await stream.rest())[-1].name == "error"
    async with chat.stream(body, key) as stream:
        assert answer(await stream.rest()) == "Now [1]."
