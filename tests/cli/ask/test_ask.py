"""`python -m app ask`: text and JSON output, and exit statuses."""

import asyncio
import shlex
import ssl
from pathlib import Path

import anyio
import pytest

from tests.cli.ask.program import events_of, run_ask, start_ask
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import Client, answer
from tests.survival.reading import QUESTION

pytestmark = pytest.mark.anyio

PANELS = "How thick must absorber panels be?"
OFF_TOPIC = "Which yeast do I need for a pizza dough?"


async def test_tokens_are_printed_as_they_arrive(chat: Client, model: ScriptedModel) -> None:
    resume = anyio.Event()
    model.answers(say("One,", " two,", resume, " three."))
    # No proxy is used for this machine.
    proxy = {"http_proxy": "http://127.0.0.1:1"}
    async with start_ask(QUESTION, "--url", chat.url, environment=proxy) as running:
        await running.printed("One, two,")
        assert "three" not in running.out
        resume.set()
        assert await running.ended() == 0
    assert running.out.startswith("One, two, three.\n\n")


async def test_an_answer_ends_with_its_scope_its_sources_and_a_follow_up_command(
    extractive: Client,
) -> None:
    environment = {"CHRYSOPEDIA_URL": extractive.url}
    status, out, err = await run_ask(PANELS, "--creator", "tomas okafor", environment=environment)
    text, sources = out.split("\n\n")
    assert status == 0
    assert "10 centimetres thick" in text
    assert sources == (
        "From Tomás Okafor's own videos and pages:\n"
        "[1] Speakers and first reflections in a small room, by Tomás Okafor, 3:35\n"
        "    https://example.com/watch/to-first-reflections#t=215\n"
    )
    assert err.startswith("Follow up: ")
    # The printed command, with a question in place of the dots; it includes the URL.
    follow_up = shlex.split(err.removeprefix("Follow up: ").replace("…", "And how wide?"))
    status, out, err = await run_ask(*follow_up[follow_up.index("ask") + 1 :])
    assert status == 0
    conversation = follow_up[follow_up.index("--conversation") + 1]
    _, kept, _ = await extractive.call("GET", f"/api/v1/conversations/{conversation}")
    assert [turn["question"] for turn in kept["turns"]] == [PANELS, "And how wide?"]


async def test_json_prints_each_event_on_a_line(chat: Client, model: ScriptedModel) -> None:
    model.answers(say("Café,\n", "\u2028 “deux”\x1b[2J", "."))
    async with start_ask(QUESTION, "--json", environment={"CHRYSOPEDIA_URL": chat.url}) as running:
        assert await running.ended() == 0
    events = events_of(running.out)
    assert [event.name for event in events] == ["sources", "token", "token", "token", "done"]
    assert answer(events) == "Café,\n\u2028 “deux”\x1b[2J."
    assert running.out.isascii()
    turn_id = events[-1].data["turn_id"]
    assert [event.id for event in events] == [f"{turn_id}-{number}" for number in range(5)]


async def test_the_question_can_come_from_standard_input(
    chat: Client, model: ScriptedModel
) -> None:
    status, out, _ = await run_ask("-", "--url", chat.url, stdin=f"{QUESTION}\n".encode())
    assert (status, out.splitlines()[0]) == (0, "Hello world")
    assert QUESTION in model.requests[0].messages[-1]["content"]


async def test_an_off_topic_question_exits_with_3(extractive: Client) -> None:
    status, out, err = await run_ask(OFF_TOPIC, "--url", extractive.url)
    assert (status, out.count("\n"), err) == (3, 1, "")
    assert "nothing" in out


async def test_an_error_in_the_middle_of_an_answer_exits_with_1(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", b"data: {nonsense\n\n"))
    status, out, err = await run_ask(QUESTION, "--url", chat.url)
    assert (status, out, err.count("\n")) == (1, "One\n", 1)
    assert err.startswith("chrysopedia-chat: The language model ")


@pytest.mark.parametrize("lines", [[], ["--json"]])
async def test_a_failing_model_exits_with_1(
    chat: Client, model: ScriptedModel, lines: list[str]
) -> None:
    model.answers(refuse(401))
    async with start_ask(QUESTION, "--url", chat.url, *lines) as running:
        assert await running.ended() == 1
    assert running.err.startswith("chrysopedia-chat: The language model failed. ")
    if lines:
        assert [event.name for event in events_of(running.out)] == ["sources", "error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], "The question must have 1 to 1000 characters"),
        (["x" * 1_001], "has 1001"),
        (["Why?", "--conversation", "a b"], "--conversation must be 1 to 64"),
        (["Why?", "--creator", ""], "--creator must have 1 to 200 characters"),
        ([b"caf\xe9?"], "must be UTF-8 text"),
        (["Why?", "--url", "ftp://localhost"], "not an http or https URL"),
        (["Why?", "--url", "https://a b:x@/"], "CHRYSOPEDIA_URL: "),
        (["Why?", "--colour"], "unrecognized arguments: --colour"),
    ],
)
async def test_a_usage_error_shows_the_services_message_and_exits_with_2(
    extractive: Client, arguments: list[str | bytes], words: str
) -> None:
    status, out, err = await run_ask(*arguments, environment={"CHRYSOPEDIA_URL": extractive.url})
    assert (status, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"caf\xe9?", "must be UTF-8 text"),
        (b" \n", "has 0"),
        (b"why " * 10_000, "at most 16384 bytes"),
    ],
)
async def test_an_invalid_question_on_standard_input_exits_with_2(
    extractive: Client, stdin: bytes, words: str
) -> None:
    status, out, err = await run_ask("-", "--url", extractive.url, stdin=stdin)
    assert (status, out) == (2, "")
    assert words in err


async def test_without_a_service_it_says_how_to_start_one_and_exits_with_4() -> None:
    # Nothing can listen on port 1 here.
    status, out, err = await run_ask(QUESTION, "--url", "http://127.0.0.1:1")
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert "No service can be reached at http://127.0.0.1:1 (connection refused)" in err
    assert "make run" in err


async def test_an_untrusted_certificate_is_reported_with_the_setting_to_change(
    certificate: Path,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        status, _, err = await run_ask(QUESTION, "--url", f"https://localhost:{port}")
    assert status == 4
    assert "the certificate is not valid: self-signed certificate" in err
    assert "SSL_CERT_FILE" in err


async def test_without_a_url_the_service_is_at_host_and_port(chat: Client) -> None:
    port = chat.url.rpartition(":")[2]
    status, out, _ = await run_ask(QUESTION, environment={"HOST": "0.0.0.0", "PORT": port})  # noqa: S104
    assert (status, out.splitlines()[0]) == (0, "Hello world")


async def test_the_help_lists_the_exit_statuses_and_options() -> None:
    status, out, _ = await run_ask("--help")
    assert status == 0
    for number in ("0", "1", "2", "3", "4", "130"):
        assert f"\n  {number} " in out
    for option in ("--creator", "--conversation", "--json", "--url"):
        assert option in out
