"""Run the programs and commands of the README, docs/api.md and docs/clients.md."""

import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from playwright.async_api import Page, async_playwright

from app.config import Settings
from tests.child_process import program
from tests.clients.programs import FLAGS, FOLDER
from tests.keys import make_key
from tests.programs import CHROMIUM, NODE
from tests.relay import relay
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import Client, Event, answer, parse, running, unlimited
from tests.workers import PROJECT

pytestmark = pytest.mark.anyio

ADDRESS, QUESTION = "localhost:8000", "How thick must absorber panels be?"
ANSWER = "For first reflections use panels of mineral wool"
README, API, CLIENTS = (
    (PROJECT / name).read_text() for name in ("README.md", "docs/api.md", "docs/clients.md")
)
# docs/clients.md has two programs in each language.
SHORT, ROBUST = 0, 1
PROGRAMS = [
    pytest.param("python", id="Python"),
    pytest.param("js", id="JavaScript", marks=pytest.mark.needs("node", "npm")),
]
VERSIONS = pytest.mark.parametrize("version", [SHORT, ROBUST], ids=["short", "robust"])
# Seconds for Chromium to start and to reconnect, which it does after 3 seconds.
LIMIT = 30


@pytest.fixture
def settings(library_url: str, redis_url: str) -> Settings:
    """Settings of a service whose answers are quotations."""
    return unlimited(Settings(database_url=library_url, redis_url=redis_url))


@pytest.fixture
async def extractive(settings: Settings) -> AsyncIterator[Client]:
    """A running service whose answers are quotations."""
    async with running(settings) as client:
        yield client


@pytest.fixture
async def chat(settings: Settings, model: ScriptedModel) -> AsyncIterator[Client]:
    """A running service that asks the scripted model."""
    chosen = replace(settings, llm_base_url=model.base_url, llm_model="first")
    async with running(chosen) as client:
        yield client


def block(language: str, address: str, version: int = SHORT) -> str:
    """Return a program of docs/clients.md with the service's address in it."""
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", CLIENTS, re.DOTALL | re.MULTILINE
    )
    return blocks[version].replace(ADDRESS, address.removeprefix("http://"))


def written(folder: Path, language: str, text: str) -> list[str | Path]:
    """Write a program into a folder and return the command that runs it there."""
    if language == "python":
        (folder / "ask.py").write_text(text)
        return [sys.executable, "ask.py"]
    assert NODE
    (folder / "ask.mjs").write_text(text)
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    return [NODE, "ask.mjs"]


def events(stream: str) -> list[Event]:
    """Decode the events that curl has printed."""
    return [parse(frame.encode()) for frame in stream.split("\n\n")[:-1]]


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_short_program_prints_tokens_as_they_arrive(
    language: str, chat: Client, model: ScriptedModel, tmp_path: Path
) -> None:
    going_on = anyio.Event()
    model.answers(say("One,", " two,", going_on, " three."))
    command = written(tmp_path, language, block(language, chat.url, SHORT))
    async with program(*command, folder=tmp_path) as client:
        await client.printed("One, two,")
        assert "three" not in client.out
        going_on.set()
        assert await client.ended() == 0, client.err
    assert (client.out, client.err) == ("One, two, three.", "")


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_robust_program_prints_the_whole_answer_after_a_lost_connection(
    language: str, chat: Client, model: ScriptedModel, tmp_path: Path
) -> None:
    cut = anyio.Event()
    model.answers(say("One,", " two,", cut, " three."))
    async with relay(chat.url.removeprefix("http://")) as between:
        command = written(tmp_path, language, block(language, between.address, ROBUST))
        async with program(*command, folder=tmp_path) as client:
            await client.printed("One, two,")
            between.cut()
            cut.set()
            assert await client.ended() == 0, client.err
    assert (client.out, client.err) == ("One, two, three.", "")
    assert len(model.requests) == 1


@VERSIONS
@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_program_sends_the_key_in_the_environment(
    language: str, version: int, settings: Settings, tmp_path: Path
) -> None:
    key = await make_key(settings.database_url, f"client {language} {version}")
    async with running(replace(settings, auth="on")) as service:
        command = written(tmp_path, language, block(language, service.url, version))
        for text, expected in ((key.text, 0), ("", 1)):
            environment = {"CHRYSOPEDIA_KEY": text} if text else {}
            async with program(*command, folder=tmp_path, environment=environment) as client:
                assert await client.ended() == expected, client.err
            assert client.out.startswith(ANSWER if text else "")
        assert "key" in client.err or "401" in client.err


@VERSIONS
@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_program_reports_why_there_is_no_answer(
    language: str, version: int, chat: Client, model: ScriptedModel, tmp_path: Path
) -> None:
    model.answers(refuse(401))
    text = block(language, chat.url, version)
    for name, query, error in (
        ("failing", QUESTION, "language model"),
        # The reason phrase of the standard library.
        ("wrong", "", "422 Unprocessable" if language == "python" else "query"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        command = written(folder, language, text.replace(QUESTION, query))
        async with program(*command, folder=folder) as client:
            assert await client.ended() == 1
        assert error in client.err


@asynccontextmanager
async def shown(html: str, address: str) -> AsyncIterator[Page]:
    """Open a page in a browser, at a service's address."""
    with anyio.fail_after(LIMIT):
        async with async_playwright() as player:
            chromium = await player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            try:
                page = await chromium.new_page()
                url = f"http://{address}/ask.html"
                await page.route(
                    url, lambda route: route.fulfill(body=html, content_type="text/html")
                )
                await page.goto(url)
                yield page
            finally:
                await chromium.close()


@pytest.mark.needs("chromium")
@VERSIONS
async def test_a_page_shows_the_whole_answer_after_a_lost_connection(
    version: int, chat: Client, model: ScriptedModel
) -> None:
    cut = anyio.Event()
    model.answers(say("One,", " two,", cut, " three."))
    async with (
        relay(chat.url.removeprefix("http://")) as between,
        shown(block("html", between.address, version), between.address) as browser,
    ):
        await browser.get_by_text("One, two,", exact=True).wait_for()
        between.cut()
        cut.set()
        await browser.get_by_text("One, two, three.", exact=True).wait_for()
    assert len(model.requests) == 1


@pytest.mark.needs("chromium")
async def test_the_robust_page_says_when_it_cannot_go_on(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    async with (
        relay(chat.url.removeprefix("http://")) as between,
        shown(block("html", between.address, ROBUST), between.address) as browser,
    ):
        await browser.get_by_text("One", exact=True).wait_for()
        await browser.route("**/api/v1/chat/*", lambda route: route.fulfill(status=503))
        between.cut()
        await browser.get_by_text("OneThe rest of the answer is lost.").wait_for()


@pytest.mark.needs("curl")
async def test_curl_asks_resumes_and_stops(extractive: Client, tmp_path: Path) -> None:
    script = block("sh", extractive.url)
    async with program("sh", "-eu", "-c", script, folder=tmp_path) as client:
        assert await client.ended() == 0, client.err
    printed = events(client.out)
    whole = printed[: [event.name for event in printed].index("done") + 1]
    assert answer(whole).startswith(ANSWER)
    assert printed[len(whole) :] == whole[8:]


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("page", "count"), [(README, 1), (API, 3)], ids=["README", "docs/api.md"])
async def test_curl_commands_ask_follow_up_and_resume(
    page: str, count: int, extractive: Client, tmp_path: Path
) -> None:
    commands = re.findall(r"^    (curl (?:.*\\\n)*.*)", page, re.MULTILINE)
    assert len(commands) == count
    asked, *others = commands
    whole = events(await printed_by(asked, extractive, tmp_path))
    assert answer(whole).startswith(ANSWER)
    end = whole[-1].data
    for text in others:
        text = re.sub(r"c_\w+…", end["conversation_id"], text)
        text = re.sub(r"t_\w+…", end["turn_id"], text)
        printed = events(await printed_by(text, extractive, tmp_path))
        if "Last-Event-ID" in text:
            assert printed == whole[8:]
        else:
            assert printed[-1].data["conversation_id"] == end["conversation_id"]


@pytest.mark.parametrize("page", [README, CLIENTS], ids=["README", "docs/clients.md"])
async def test_the_ask_command_prints_the_answer(
    page: str, extractive: Client, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^    \S+python( -m app ask .*)", page, re.MULTILINE)
    command = [sys.executable, *shlex.split(line), "--url", extractive.url]
    async with program(*command) as client:
        assert await client.ended() == 0
    assert client.out.startswith(ANSWER)


async def printed_by(command: str, service: Client, folder: Path) -> str:
    """Run a command against the service and return what it prints."""
    text = command.replace(ADDRESS, service.url.removeprefix("http://"))
    async with program("sh", "-c", text, folder=folder) as client:
        assert await client.ended() == 0, client.err
    return client.out
