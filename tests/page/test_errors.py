"""The page explains errors and offers a way on: retry, edit, ask again."""

import json
import re

import anyio
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from app.config import Settings
from tests.page.reader import QUESTION, Reader, reading
from tests.scripted_model import ScriptedModel, say, whole
from tests.service import Client, running

pytestmark = pytest.mark.anyio


async def ask_while_unreachable(reader: Reader) -> None:
    """Ask until the page gives up, then make the service reachable again."""
    clock = reader.page.clock
    await clock.install(time=0)
    await clock.pause_at(1_000)
    await reader.page.route("**/api/v1/chat", lambda route: route.abort())
    await reader.ask()
    for _ in range(4):
        # More than one attempt may fail while the clock runs.
        await reader.announced(re.compile(r"cannot be reached\. (Trying again|Check)"))
        await clock.run_for(8_000)
    await reader.turn_contains("Check your connection")
    await reader.page.unroute("**/api/v1/chat")
    await clock.resume()


async def test_a_rate_limited_question_says_when_to_try_again(
    chromium: Browser, model_settings: Settings
) -> None:
    async with (
        running(replace(model_settings, rate_limit=1)) as service,
        reading(chromium, service.url) as reader,
    ):
        await reader.ask()
        await reader.finished()
        await reader.ask("And the release?")
        await reader.turn_contains("Questions are limited to 1 a minute")
        retry = reader.turn.get_by_role("button", name="Try again in")
        await expect(retry).to_be_disabled()
        await reader.announced("Too many questions")


async def test_a_question_to_a_full_service_is_retried_automatically(
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
        await reader.announced("Trying again in")
        hold.set()
        await reader.answer_contains("The second.")


async def test_a_question_that_is_too_long_can_be_edited(reader: Reader) -> None:
    question = "Why? " * 210
    await reader.question.fill(question)
    await expect(reader.page.locator("#length")).to_have_text("1049 of 1000 characters")
    await reader.question.press("Enter")
    await reader.turn_contains("Your question must have 1 to 1000 characters")
    await expect(reader.button("Try again")).to_be_hidden()
    await reader.button("Edit the question").click()
    await expect(reader.question).to_have_value(question.strip())


async def test_an_unreachable_service_is_retried_and_then_offers_a_retry_button(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Back again. [1]"))
    await ask_while_unreachable(reader)
    await reader.button("Try again").click()
    await reader.answer_contains("Back again.")
    await expect(reader.turns).to_have_count(1)


async def test_retrying_can_be_stopped(reader: Reader) -> None:
    await reader.page.route("**/api/v1/chat", lambda route: route.abort())
    await reader.ask()
    await reader.announced("The service cannot be reached.")
    await reader.stop.click()
    await reader.turn_contains("Stopped here.")
    await expect(reader.send).to_be_visible()
    await reader.button("Ask again").click()
    await reader.announced("The service cannot be reached.")


async def test_a_failed_answer_can_be_asked_again(reader: Reader, model: ScriptedModel) -> None:
    model.answers(say(finish="length"), say("Now it works. [1]"))
    await reader.ask()
    await reader.turn_contains("The language model failed.")
    await reader.button("Ask again").click()
    await reader.answer_contains("Now it works.")
    await expect(reader.turns).to_have_count(1)


async def test_a_bad_gateway_is_retried(reader: Reader, model: ScriptedModel) -> None:
    model.answers(say("There it is. [1]"))
    page = "<html><h1>502 Bad Gateway</h1></html>"
    await reader.page.route(
        "**/api/v1/chat",
        lambda route: route.fulfill(status=502, content_type="text/html", body=page),
        times=1,
    )
    await reader.ask()
    await reader.answer_contains("There it is.")


async def test_an_expired_answer_can_be_asked_again(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    await reader.ask()
    await reader.finished()
    session = await reader.session()
    lost = {"query": QUESTION, "creator": None, "key": "k", "turn": "t_" + "0" * 32}
    forgotten = json.dumps({**session, "pending": lost})
    await reader.page.evaluate("(session) => (sessionStorage.chrysopedia = session)", forgotten)
    await reader.page.reload()
    await reader.turn_contains("This answer has expired.")
    await reader.button("Ask again").click()
    await reader.answer_contains("Hello world")


async def test_loading_a_conversation_can_be_retried(reader: Reader, model: ScriptedModel) -> None:
    model.answers(say("Still here. [1]"))
    await reader.ask()
    await reader.finished()

    async def unavailable(route: Route) -> None:
        await route.fulfill(status=503, content_type="application/problem+json", body="{}")

    await reader.page.route("**/api/v1/conversations/*", unavailable, times=1)
    await reader.page.reload()
    await expect(reader.notice("Your conversation cannot be loaded")).to_be_visible()
    await reader.page.get_by_role("button", name="Try again").click()
    await reader.answer_contains("Still here.")


async def test_an_expired_conversation_is_replaced_by_a_new_one(
    reader: Reader, service: Client
) -> None:
    await reader.ask()
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    path = f"/api/v1/conversations/{conversation}"
    await service.call("DELETE", path, headers=await reader.cookie())
    await reader.page.reload()
    await reader.announced("Your conversation has expired")
    notice = reader.notice("Your conversation has expired")
    await expect(notice).to_be_visible()
    await expect(reader.turns).to_have_count(0)
    await reader.ask()
    await expect(notice).to_be_hidden()
    await reader.finished()


async def test_a_follow_up_says_that_its_conversation_has_expired(
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
    path = f"/api/v1/conversations/{first}"
    await service.call("DELETE", path, headers=await reader.cookie())
    await reader.page.clock.fast_forward("10:00")
    await reader.ask()
    await reader.turn_contains("The conversation has expired")
    await reader.finished()
    assert (await reader.session())["conversation"] != first


async def test_a_response_that_is_not_from_the_service_is_retried(
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
    await reader.announced("The service cannot be reached.")
    await reader.answer_contains("The real one.")
    await reader.finished()
    assert (await reader.session())["conversation"]


async def test_the_page_says_that_its_scripts_did_not_load(reader: Reader) -> None:
    await expect(reader.page.locator("#not-started")).to_have_count(0)
    await reader.page.route("**/markdown.js", lambda route: route.abort())
    await reader.page.reload()
    await expect(reader.page.get_by_text("This page could not start.")).to_be_visible()


async def test_an_unsent_question_is_sent_after_a_reload(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("There it is. [1]"))
    await ask_while_unreachable(reader)
    await reader.page.reload()
    await reader.answer_contains("There it is.")
    await expect(reader.turns).to_have_count(1)


async def test_a_question_asked_before_the_conversation_is_restored_comes_after_it(
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
    await reader.answer_contains("The second.")


async def test_a_retried_earlier_question_joins_the_current_conversation(
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
    await reader.turn_contains("Too many questions at once.")
    await reader.ask("And the release?")
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    await reader.turns.first.get_by_role("button", name="Try again").click()
    await reader.finished()
    assert (await reader.session())["conversation"] == conversation
