"""What goes wrong is said in words, with what to do about it."""

import json

import anyio
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from app.config import Settings
from tests.page.reader import QUESTION, Reader, reading
from tests.scripted_model import ScriptedModel, refuse, say, whole
from tests.service import Client, running

pytestmark = pytest.mark.anyio


async def ask_in_vain(reader: Reader) -> None:
    """Ask until the page gives it up; then the service can be reached again."""
    await reader.page.clock.install()
    await reader.page.route("**/api/v1/chat", lambda route: route.abort())
    await reader.ask()
    for _ in range(4):
        await reader.hears("The service cannot be reached. Trying again")
        await reader.page.clock.run_for(8_000)
    await reader.is_told("Check your connection")
    await reader.page.unroute("**/api/v1/chat")


async def test_too_many_questions_are_told_when_to_ask_again(
    chromium: Browser, model_settings: Settings
) -> None:
    async with (
        running(replace(model_settings, rate_limit=1)) as service,
        reading(chromium, service.url) as reader,
    ):
        await reader.ask()
        await reader.finished()
        await reader.ask("And the release?")
        await reader.is_told("Questions are limited to 1 per")
        retry = reader.turn.get_by_role("button", name="Try again in")
        await expect(retry).to_be_disabled()
        await reader.hears("Too many questions")


async def test_a_full_service_is_asked_again_by_itself(
    chromium: Browser, model_settings: Settings, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say("The first.", hold), say("The second. [1]"))
    async with (
        running(replace(model_settings, max_turns=1)) as service,
        service.stream({"query": "What is a side-chain?"}),
        reading(chromium, service.url) as reader,
    ):
        await model.asked()
        await reader.ask()
        await reader.hears("Trying again in")
        hold.set()
        await reader.reads("The second.")


async def test_a_question_that_is_too_long_can_be_edited(reader: Reader) -> None:
    question = "Why? " * 210
    await reader.question.fill(question)
    await expect(reader.page.locator("#length")).to_have_text("1049 of 1000 characters")
    await reader.question.press("Enter")
    await reader.is_told("Your question must have 1 to 1000 characters")
    await expect(reader.button("Try again")).to_be_hidden()
    await reader.button("Edit the question").click()
    await expect(reader.question).to_have_value(question.strip())


async def test_a_service_that_cannot_be_reached_is_tried_again_and_then_by_hand(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Back again. [1]"))
    await ask_in_vain(reader)
    await reader.button("Try again").click()
    await reader.reads("Back again.")
    await expect(reader.turns).to_have_count(1)


async def test_what_cannot_be_reached_can_be_stopped(reader: Reader) -> None:
    await reader.page.route("**/api/v1/chat", lambda route: route.abort())
    await reader.ask()
    await reader.hears("The service cannot be reached.")
    await reader.stop.click()
    await reader.is_told("Stopped here.")
    await expect(reader.send).to_be_visible()
    await reader.button("Ask again").click()
    await reader.hears("The service cannot be reached.")


async def test_a_model_that_fails_in_the_middle_is_told_and_asked_again(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(refuse(400), say("Now it works. [1]"))
    await reader.ask()
    await reader.is_told("The language model failed.")
    await reader.button("Ask again").click()
    await reader.reads("Now it works.")
    await expect(reader.turns).to_have_count(1)


async def test_a_proxy_without_a_worker_is_waited_for(reader: Reader, model: ScriptedModel) -> None:
    model.answers(say("There it is. [1]"))
    away = "<html><h1>502 Bad Gateway</h1></html>"
    await reader.page.route(
        "**/api/v1/chat",
        lambda route: route.fulfill(status=502, content_type="text/html", body=away),
        times=1,
    )
    await reader.ask()
    await reader.reads("There it is.")


async def test_a_stream_that_is_no_longer_kept_is_told(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    await reader.ask()
    await reader.finished()
    session = await reader.session()
    lost = {"query": QUESTION, "creator": None, "key": "k", "turn": "t_" + "0" * 32}
    forgotten = json.dumps({**session, "pending": lost})
    await reader.page.evaluate("(session) => (sessionStorage.chrysopedia = session)", forgotten)
    await reader.page.reload()
    await reader.is_told("This answer has expired.")
    await reader.button("Ask again").click()
    await reader.reads("Hello world")


async def test_a_conversation_that_cannot_be_read_is_tried_again(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Still here. [1]"))
    await reader.ask()
    await reader.finished()

    async def unavailable(route: Route) -> None:
        await route.fulfill(status=503, content_type="application/problem+json", body="{}")

    await reader.page.route("**/api/v1/conversations/*", unavailable, times=1)
    await reader.page.reload()
    await expect(reader.notice("Your conversation cannot be loaded")).to_be_visible()
    await reader.page.get_by_role("button", name="Try again").click()
    await reader.reads("Still here.")


async def test_a_conversation_that_is_forgotten_makes_room_for_a_new_one(
    reader: Reader, service: Client
) -> None:
    await reader.ask()
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    await service.call("DELETE", f"/api/v1/conversations/{conversation}")
    await reader.page.reload()
    await reader.hears("Your conversation has expired")
    notice = reader.notice("Your conversation has expired")
    await expect(notice).to_be_visible()
    await expect(reader.turns).to_have_count(0)
    await reader.ask()
    await expect(notice).to_be_hidden()
    await reader.finished()


async def test_a_follow_up_is_told_that_its_conversation_is_forgotten(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    await reader.page.clock.install()
    await reader.page.reload()
    await reader.ask()
    await reader.finished()
    first = (await reader.session())["conversation"]
    await reader.page.clock.fast_forward("10:00")
    await reader.ask()
    await reader.finished()
    assert (await reader.session())["conversation"] == first
    await expect(reader.turn).not_to_contain_text("has expired")
    await service.call("DELETE", f"/api/v1/conversations/{first}")
    await reader.page.clock.fast_forward("10:00")
    await reader.ask()
    await reader.is_told("The conversation has expired")
    await reader.finished()
    assert (await reader.session())["conversation"] != first


async def test_a_reply_by_someone_else_than_the_service_is_no_answer(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("The real one. [1]"))
    portal = "<html><h1>Welcome to our hotel</h1></html>"
    await reader.page.route(
        "**/api/v1/chat",
        lambda route: route.fulfill(status=200, content_type="text/html", body=portal),
        times=1,
    )
    await reader.ask()
    await reader.hears("The service cannot be reached.")
    await reader.reads("The real one.")
    await reader.finished()
    assert (await reader.session())["conversation"]


async def test_a_page_whose_scripts_do_not_load_says_so(reader: Reader) -> None:
    await expect(reader.page.locator("#not-started")).to_have_count(0)
    await reader.page.route("**/markdown.js", lambda route: route.abort())
    await reader.page.reload()
    await expect(reader.page.get_by_text("This page could not start.")).to_be_visible()


async def test_a_question_that_could_not_be_sent_outlives_a_reload(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("There it is. [1]"))
    await ask_in_vain(reader)
    await reader.page.reload()
    await reader.reads("There it is.")
    await expect(reader.turns).to_have_count(1)


async def test_what_is_asked_before_the_conversation_is_shown_comes_after_it(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("The first. [1]"), whole("standing alone"), say("The second. [1]"))
    await reader.ask()
    await reader.finished()
    await reader.page.route("**/api/v1/conversations/*", lambda route: route.abort(), times=1)
    await reader.page.reload()
    await expect(reader.notice("Your conversation cannot be loaded")).to_be_visible()
    await reader.ask("And the release?")
    await reader.finished()
    await reader.page.get_by_role("button", name="Try again").click()
    await expect(reader.turns).to_have_count(2)
    await expect(reader.turns.first).to_contain_text("The first.")
    await reader.reads("The second.")


async def test_an_earlier_question_that_is_tried_again_joins_the_conversation(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Second. [1]"), whole("standing alone"), say("First. [1]"))
    busy = json.dumps({"title": "Too many questions at once", "detail": "", "status": 429})
    await reader.page.route(
        "**/api/v1/chat",
        lambda route: route.fulfill(status=429, content_type="application/problem+json", body=busy),
        times=1,
    )
    await reader.ask()
    await reader.is_told("Too many questions at once.")
    await reader.ask("And the release?")
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    await reader.turns.first.get_by_role("button", name="Try again").click()
    await reader.finished()
    assert (await reader.session())["conversation"] == conversation
