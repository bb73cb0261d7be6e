"""Answers survive reloads of the page, lost connections and restarts of workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from app.config import Settings
from tests.page.reader import QUESTION, SOON, Reader, reading
from tests.relay import Relay, relay
from tests.scripted_model import ScriptedModel, say, whole
from tests.service import CHAT, Client, running
from tests.workers import environment, worker

pytestmark = pytest.mark.anyio

LOST = "The connection was lost."


@asynccontextmanager
async def reading_through(
    chromium: Browser, service: Client
) -> AsyncIterator[tuple[Reader, Relay]]:
    async with (
        relay(address(service)) as network,
        reading(chromium, f"http://{network.address}") as reader,
    ):
        yield reader, network


async def test_a_reload_resumes_the_answer(reader: Reader, model: ScriptedModel) -> None:
    hold = anyio.Event()
    model.answers(say("Before. [1] ", hold, "After."))
    await reader.creator.fill("Mara Voss")
    await reader.ask()
    await reader.answer_contains("Before.")
    await reader.page.reload()
    await reader.answer_contains("Before.")
    await expect(reader.stop).to_be_visible()
    hold.set()
    await reader.answer_contains("After.")
    await reader.finished()
    await reader.turn_contains("Asked Mara Voss")
    await reader.turn_contains("From Mara Voss’s own videos and pages.")
    await expect(reader.turns).to_have_count(1)
    assert len(model.requests) == 1
    assert (await reader.session())["pending"] is None
    # The picker keeps the creator of the last question.
    await expect(reader.creator).to_have_value("Mara Voss")


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ({"finish_reason": "stopped"}, "Stopped."),
        ({"finish_reason": "refused"}, "The language model declined to answer."),
        ({"finish_reason": "stop"}, None),
        ({}, None),
    ],
)
async def test_a_restored_answer_says_how_it_ended(
    reader: Reader, model: ScriptedModel, ending: dict[str, str], words: str | None
) -> None:
    async def ended(route: Route) -> None:
        reply = await route.fetch()
        body = await reply.json()
        body["turns"][0].pop("finish_reason", None)
        body["turns"][0] |= ending
        await route.fulfill(response=reply, json=body)

    model.answers(say("As far as here. [1]"))
    await reader.ask()
    await reader.finished()
    await reader.page.route("**/api/v1/conversations/*", ended)
    await reader.page.reload()
    await reader.answer_contains("As far as here.")
    note = reader.turn.locator(".note")
    await expect(note).to_be_visible(visible=words is not None)
    await expect(note).to_have_text(words or "")


async def test_the_page_works_without_session_storage(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("One. [1]"), whole("standing alone"), say("Two. [1]"))
    async with reading(chromium, service.url) as reader:
        await reader.page.add_init_script(
            """Object.defineProperty(window, "sessionStorage", {
              get() { throw new DOMException("denied", "SecurityError"); } })"""
        )
        await reader.page.reload()
        await reader.ask()
        await reader.finished()
        await reader.ask("And the release?")
        await reader.answer_contains("Two.")
        await reader.finished()
        await expect(reader.turns).to_have_count(2)
    # The second question was asked as a follow-up.
    assert len(model.requests) == 3


async def test_after_a_lost_connection_only_the_missing_events_are_read(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    disconnected, reconnected = anyio.Event(), anyio.Event()
    model.answers(say("One, ", disconnected, "two, ", reconnected, "three. [1]"))
    async with reading_through(chromium, service) as (reader, network):
        resumed: list[str | None] = []
        reader.page.on("request", lambda call: resumed.append(call.headers.get("last-event-id")))
        await reader.ask()
        await reader.answer_contains("One,")
        await network.close()
        await reader.announced(LOST)
        disconnected.set()
        await network.open()
        await reader.answer_contains("two,")
        network.cut()
        await reader.announced(LOST)
        reconnected.set()
        await reader.finished()
        assert await reader.answer.inner_text() == "One, two, three. 1"
    # Each request resumed after the last event that was read.
    assert resumed[0] is None
    assert [(at or "").rpartition("-")[2] for at in (resumed[1], resumed[-1])] == ["1", "2"]
    assert len(model.requests) == 1


@pytest.mark.parametrize("stored", [True, False])
async def test_an_answer_that_cannot_be_resumed_any_more_is_read_from_the_conversation(
    chromium: Browser, model_settings: Settings, model: ScriptedModel, stored: bool
) -> None:
    disconnected = anyio.Event()
    model.answers(say("One, ", disconnected, "two. [1]"))
    async with (
        running(replace(model_settings, turn_replay=0.1)) as service,
        reading_through(chromium, service) as (reader, network),
    ):
        await reader.ask()
        await reader.answer_contains("One,")
        pending = (await reader.session())["pending"]
        await network.close()
        await reader.announced(LOST)
        disconnected.set()
        with anyio.fail_after(SOON):
            path, cookie = f"{CHAT}/{pending['turn']}", {"headers": await reader.cookie()}
            while (await service.call("GET", path, **cookie))[0] != 404:
                pass
        if not stored:
            path = f"/api/v1/conversations/{pending['conversation']}"
            await service.call("DELETE", path, **cookie)
        await network.open()
        await reader.finished()
        if stored:
            assert await reader.answer.inner_text() == "One, two. 1"
            await reader.turn_contains("From the whole library.")
            await expect(reader.button("Copy")).to_be_visible()
        await expect(
            reader.button("Ask again").and_(reader.turn.locator(".error *"))
        ).to_be_visible(visible=not stored)
        assert (await reader.session())["pending"] is None
    assert len(model.requests) == 1


async def test_a_question_without_a_response_says_why(reader: Reader, model: ScriptedModel) -> None:
    connected = anyio.Event()
    model.answers(say("One. [1]"))

    async def wait_for_connection(route: Route) -> None:
        await connected.wait()
        await route.continue_()

    await reader.page.clock.install()
    await reader.page.route("**/api/v1/chat", wait_for_connection)
    await reader.ask()
    await reader.announced("Searching")
    await reader.page.clock.run_for(6_000)
    await reader.announced("Waiting for a connection. Your browser allows six")
    connected.set()
    await reader.answer_contains("One.")
    await reader.finished()
    await expect(reader.turn.locator(".state")).to_be_hidden()


async def test_a_question_whose_response_is_lost_is_asked_once(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say(hold, "Only once. [1]"))

    async def lose_response(route: Route) -> None:
        call = route.request
        async with service.http.post(call.url, data=call.post_data, headers=call.headers):
            await route.abort()

    await reader.page.route("**/api/v1/chat", lose_response, times=1)
    await reader.ask()
    await reader.announced("The service cannot be reached.")
    await reader.sources_found()
    hold.set()
    await reader.answer_contains("Only once.")
    await reader.finished()
    assert len(model.requests) == 1


async def test_a_reload_before_the_response_follows_the_question_already_sent(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Only once. [1]"))
    sent = anyio.Event()

    async def never_respond(route: Route) -> None:
        call = route.request
        await service.http.post(call.url, data=call.post_data, headers=call.headers)
        sent.set()

    await reader.page.route("**/api/v1/chat", never_respond, times=1)
    await reader.ask()
    with anyio.fail_after(SOON):
        await sent.wait()
    await reader.page.reload()
    await reader.answer_contains("Only once.")
    await reader.finished()
    await expect(reader.turns).to_have_count(1)
    assert len(model.requests) == 1


async def test_an_answer_continues_on_another_worker_after_a_restart(
    chromium: Browser, service: Client, model_settings: Settings, model: ScriptedModel
) -> None:
    other_has_it, other_is_gone = anyio.Event(), anyio.Event()
    model.answers(say("One, ", other_has_it, "two, ", other_is_gone, "three. [1]"))
    async with (
        worker(environment(replace(model_settings, drain_time=0.2))) as other,
        reading_through(chromium, service) as (reader, network),
    ):
        await reader.ask()
        await reader.answer_contains("One,")
        network.lead_to(address(other))
        network.cut()
        other_has_it.set()
        await reader.answer_contains("two,")
        network.lead_to(address(service))
        other.terminate()
        await other.ended()
        other_is_gone.set()
        await reader.finished()
        assert await reader.answer.inner_text() == "One, two, three. 1"
    assert len(model.requests) == 1


async def test_an_answer_lost_with_its_worker_can_be_asked_again(
    chromium: Browser, service: Client, model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One, ", anyio.Event()), say("Now all of it. [1]"))
    async with (
        worker(environment(replace(model_settings, turn_lease=1.0))) as killed,
        reading_through(chromium, killed) as (reader, network),
    ):
        await reader.ask()
        await reader.answer_contains("One,")
        network.lead_to(address(service))
        killed.kill()
        await reader.turn_contains("Ask again")
        await expect(reader.turn.get_by_role("heading")).to_have_text(QUESTION)
        await reader.button("Ask again").click()
        await reader.answer_contains("Now all of it.")
        await reader.finished()
        await expect(reader.turns).to_have_count(1)


def address(service: Client) -> str:
    return service.url.removeprefix("http://")
