"""An answer is read to its end though the page, its network or its worker goes away."""

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
from tests.service import Client
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


async def test_a_reload_goes_on_with_the_answer(reader: Reader, model: ScriptedModel) -> None:
    hold = anyio.Event()
    model.answers(say("Before. [1] ", hold, "After."))
    await reader.creator.fill("Mara Voss")
    await reader.ask()
    await reader.reads("Before.")
    await reader.page.reload()
    await reader.reads("Before.")
    await expect(reader.stop).to_be_visible()
    hold.set()
    await reader.reads("After.")
    await reader.finished()
    await reader.is_told("Asked Mara Voss")
    await reader.is_told("From Mara Voss’s own videos and pages.")
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
async def test_a_reload_tells_how_an_answer_ended(
    reader: Reader, model: ScriptedModel, ending: dict[str, str], words: str | None
) -> None:
    async def ended(route: Route) -> None:
        reply = await route.fetch()
        kept = await reply.json()
        kept["turns"][0].pop("finish_reason", None)
        kept["turns"][0] |= ending
        await route.fulfill(response=reply, json=kept)

    model.answers(say("As far as here. [1]"))
    await reader.ask()
    await reader.finished()
    await reader.page.route("**/api/v1/conversations/*", ended)
    await reader.page.reload()
    await reader.reads("As far as here.")
    note = reader.turn.locator(".note")
    await expect(note).to_be_visible(visible=words is not None)
    await expect(note).to_have_text(words or "")


async def test_a_page_that_may_keep_nothing_answers_all_the_same(
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
        await reader.reads("Two.")
        await reader.finished()
        await expect(reader.turns).to_have_count(2)
    # The second was asked as a follow-up.
    assert len(model.requests) == 3


async def test_a_lost_network_is_waited_for_and_nothing_comes_twice(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    away, back = anyio.Event(), anyio.Event()
    model.answers(say("One, ", away, "two, ", back, "three. [1]"))
    async with reading_through(chromium, service) as (reader, network):
        resumed: list[str | None] = []
        reader.page.on("request", lambda call: resumed.append(call.headers.get("last-event-id")))
        await reader.ask()
        await reader.reads("One,")
        await network.close()
        await reader.hears(LOST)
        away.set()
        await network.open()
        await reader.reads("two,")
        network.cut()
        await reader.hears(LOST)
        back.set()
        await reader.finished()
        assert await reader.answer.inner_text() == "One, two, three. 1"
    # Only what had not been read came again.
    assert resumed[0] is None
    assert [(at or "").rpartition("-")[2] for at in (resumed[1], resumed[-1])] == ["1", "2"]
    assert len(model.requests) == 1


async def test_a_question_whose_reply_is_lost_is_asked_once(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say(hold, "Only once. [1]"))

    async def lose_the_reply(route: Route) -> None:
        call = route.request
        async with service.http.post(call.url, data=call.post_data, headers=call.headers):
            await route.abort()

    await reader.page.route("**/api/v1/chat", lose_the_reply, times=1)
    await reader.ask()
    await reader.hears("The service cannot be reached.")
    await reader.finds_sources()
    hold.set()
    await reader.reads("Only once.")
    await reader.finished()
    assert len(model.requests) == 1


async def test_a_reload_before_the_reply_joins_the_question_that_was_sent(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Only once. [1]"))
    sent = anyio.Event()

    async def never_reply(route: Route) -> None:
        call = route.request
        await service.http.post(call.url, data=call.post_data, headers=call.headers)
        sent.set()

    await reader.page.route("**/api/v1/chat", never_reply, times=1)
    await reader.ask()
    with anyio.fail_after(SOON):
        await sent.wait()
    await reader.page.reload()
    await reader.reads("Only once.")
    await reader.finished()
    await expect(reader.turns).to_have_count(1)
    assert len(model.requests) == 1


async def test_the_answer_goes_on_while_workers_are_restarted(
    chromium: Browser, service: Client, model_settings: Settings, model: ScriptedModel
) -> None:
    other_has_it, other_is_gone = anyio.Event(), anyio.Event()
    model.answers(say("One, ", other_has_it, "two, ", other_is_gone, "three. [1]"))
    async with (
        worker(environment(replace(model_settings, drain_time=0.2))) as other,
        reading_through(chromium, service) as (reader, network),
    ):
        await reader.ask()
        await reader.reads("One,")
        network.lead_to(address(other))
        network.cut()
        other_has_it.set()
        await reader.reads("two,")
        network.lead_to(address(service))
        other.terminate()
        await other.ended()
        other_is_gone.set()
        await reader.finished()
        assert await reader.answer.inner_text() == "One, two, three. 1"
    assert len(model.requests) == 1


async def test_an_answer_that_died_with_its_worker_can_be_asked_for_again(
    chromium: Browser, service: Client, model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One, ", anyio.Event()), say("Now all of it. [1]"))
    async with (
        worker(environment(replace(model_settings, turn_lease=1.0))) as mortal,
        reading_through(chromium, mortal) as (reader, network),
    ):
        await reader.ask()
        await reader.reads("One,")
        network.lead_to(address(service))
        mortal.kill()
        await reader.is_told("Ask again")
        await expect(reader.turn.get_by_role("heading")).to_have_text(QUESTION)
        await reader.button("Ask again").click()
        await reader.reads("Now all of it.")
        await reader.finished()
        await expect(reader.turns).to_have_count(1)


def address(service: Client) -> str:
    return service.url.removeprefix("http://")
