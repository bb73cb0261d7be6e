"""`python -m app ask` resumes when its connection breaks, and explains when it gives up."""

from unittest.mock import ANY

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.cli.ask.program import events_of, run_ask, start_ask
from tests.raw_server import Play, hangs_up, raw_server, replies
from tests.relay import relay
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer, running
from tests.survival.reading import QUESTION
from tests.workers import environment, worker

pytestmark = pytest.mark.anyio

TURN = "t_" + "0" * 32
ENDED = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
    f"X-Turn-Id: {TURN}\r\n\r\nid: {TURN}-0\nevent: error\n"
    'data: {"type":"","title":"Lost","status":500,"detail":"Ask again.","retryable":true}\n\n'
).encode()


def refusal(status: int, **headers: str) -> bytes:
    """Return an error response like the service's."""
    body = '{"type":"","title":"No","status":0,"detail":"Not now."}'
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n{fields}Connection: close\r\n\r\n"
        f"{body}"
    ).encode()


def header(request: str, name: str) -> str:
    """Return a header of a request, whatever the case of its name."""
    fields = (line.partition(": ") for line in request.split("\r\n"))
    return {field.lower(): value for field, _, value in fields}[name.lower()]


def once(reply: bytes) -> Play:
    """Send one response and close the connection."""
    return replies(reply, times=1)


async def ask_server(*plays: Play) -> tuple[int, list[str], str]:
    """Ask a scripted server; returns the exit status, its requests, and standard error."""
    async with raw_server(*plays) as server:
        status, _, err = await run_ask("Why?", "--url", f"http://127.0.0.1:{server.port}")
        return status, server.requests, err


async def test_each_event_is_printed_once_although_the_connection_is_cut(
    chat: Client, model: ScriptedModel
) -> None:
    cut, closed = anyio.Event(), anyio.Event()
    model.answers(say("One,", " two,", cut, " three,", closed, " four."))
    async with (
        relay(chat.url.removeprefix("http://")) as between,
        start_ask(QUESTION, "--json", "--url", between.address) as running,
    ):
        await running.printed(" two,")
        between.cut()
        cut.set()
        await running.printed(" three,")
        await between.close()
        closed.set()
        # For a while nothing listens there.
        await running.printed("The connection broke: connection refused. Trying again", "err")
        await between.open()
        assert await running.ended() == 0
    events = events_of(running.out)
    assert answer(events) == "One, two, three, four."
    turn_id = events[-1].data["turn_id"]
    assert [event.id for event in events] == [f"{turn_id}-{n}" for n in range(len(events))]
    assert len(model.requests) == 1


@pytest.mark.slow
async def test_another_worker_reports_that_the_answer_of_a_killed_one_is_lost(
    model_settings: Settings, model: ScriptedModel
) -> None:
    settings = replace(model_settings, turn_lease=1.0)
    model.answers(say("One,", " two,", anyio.Event(), "never"))
    async with (
        running(settings) as other,
        worker(environment(settings)) as doomed,
        relay(doomed.url.removeprefix("http://")) as to_doomed,
        relay(other.url.removeprefix("http://")) as to_other,
        start_ask(QUESTION, "--url", to_doomed.address) as asker,
    ):
        await asker.printed("One, two,")
        await to_doomed.close()
        await to_other.close()
        to_other.address = to_doomed.address
        doomed.kill()
        await to_other.open()
        assert await asker.ended() == 1
    assert asker.out == "One, two,\n"
    assert "The answer was lost" in asker.err
    assert "Ask again" in asker.err


async def test_a_detail_that_repeats_the_title_is_enough() -> None:
    ended = once(ENDED.replace(b'"Ask again."', b'"Lost. Ask again."'))
    assert await ask_server(ended) == (1, ANY, "chrysopedia-chat: Lost. Ask again.\n")


async def test_a_question_is_sent_again_with_its_key_if_the_service_asks_for_that() -> None:
    plays = hangs_up, once(refusal(503, Retry_After="1")), once(ENDED)
    status, requests, err = await ask_server(*plays)
    assert status == 1
    assert err == "Not now. Trying again in 1 s.\nchrysopedia-chat: Lost. Ask again.\n"
    assert [request.split()[0] for request in requests] == ["POST"] * 3
    assert len({header(request, "Idempotency-Key") for request in requests}) == 1


async def test_a_turn_that_already_runs_is_followed() -> None:
    running = refusal(409, Location=f"/api/v1/chat/{TURN}")
    status, requests, err = await ask_server(once(running), hangs_up, once(ENDED))
    assert (status, err) == (1, "chrysopedia-chat: Lost. Ask again.\n")
    assert [request.split()[:2] for request in requests[1:]] == [
        ["GET", f"/api/v1/chat/{TURN}"]
    ] * 2


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (refusal(429, Retry_After="3600"), 4, "chrysopedia-chat: Not now.\n"),
        (refusal(500), 1, "chrysopedia-chat: Not now.\n"),
        (refusal(301, Location="https://elsewhere/"), 1, "Not now."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1, "is not Chrysopedia Chat"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n",
            1,
            "302 Found, see /home",
        ),
        (b"-ERR unknown command\r\n", 1, "is not Chrysopedia Chat"),
    ],
)
async def test_a_permanent_failure_is_not_retried(reply: bytes, status: int, words: str) -> None:
    ended, requests, err = await ask_server(once(reply))
    assert (ended, len(requests), err.count("\n")) == (status, 1, 1)
    assert words in err


async def test_asking_fails_if_the_answer_cannot_be_resumed() -> None:
    begun = ENDED[: ENDED.index(b"event: error")] + b'event: token\ndata: "One"\n\n'
    status, requests, err = await ask_server(once(begun), once(refusal(404)))
    assert (status, "The rest of the answer is lost. Ask again." in err) == (1, True)
    assert header(requests[1], "Last-Event-ID") == f"{TURN}-0"


async def test_a_proxy_is_used_for_other_machines() -> None:
    async with raw_server(once(ENDED)) as proxy:
        settings = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        status, _, err = await run_ask(
            "Why?", "--url", "me:secret@chat.example.com/x/?y", environment=settings
        )
    assert (status, err) == (1, "chrysopedia-chat: Lost. Ask again.\n")
    assert proxy.requests[0].startswith("POST http://chat.example.com/x/api/v1/chat HTTP/1.1")
    assert header(proxy.requests[0], "Authorization") == "Basic bWU6c2VjcmV0"
