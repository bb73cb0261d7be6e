"""`python -m app ask` stops the turn when it is interrupted or its output is closed."""

import anyio
import pytest

from app.cli.ask.client import TurnClient
from app.infra.http.sse import SSEEvent
from app.schemas import ChatRequest
from tests.cli.ask.program import events_of, start_ask
from tests.raw_server import RawServer, Reader, Writer, raw_server, replies
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer
from tests.survival.reading import QUESTION, SOON

pytestmark = pytest.mark.anyio

TURN = "t_" + "0" * 32


async def test_ctrl_c_stops_the_answer_and_prints_what_there_is_of_it(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One [1]", " two", anyio.Event(), "never"))
    async with start_ask(QUESTION, "--url", chat.url) as running:
        await running.printed("One [1] two")
        running.interrupt()
        assert await running.ended() == 130
        with anyio.fail_after(SOON):
            await model.disconnected.wait()
    assert running.out.startswith("One [1] two\n\nFrom the whole library:\n[1] ")
    assert "chrysopedia-chat: The answer was stopped.\n" in running.err


async def test_ctrl_c_with_json_prints_the_last_event(chat: Client, model: ScriptedModel) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    async with start_ask(QUESTION, "--json", "--url", chat.url) as running:
        # The sources contain the word, too.
        await running.printed('"One"')
        running.interrupt()
        assert await running.ended() == 130
    events = events_of(running.out)
    assert [event.name for event in events] == ["sources", "token", "done"]
    assert (answer(events), events[-1].data["finish_reason"]) == ("One", "stopped")


async def test_ctrl_c_before_the_response_stops_the_turn_of_the_key() -> None:
    asked = anyio.Event()

    async def is_silent(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.request(reader)
        asked.set()
        await server.request(reader)

    running = (
        f"HTTP/1.1 409 Conflict\r\nLocation: /api/v1/chat/{TURN}\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n"
    )
    gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    plays = is_silent, replies(running.encode(), times=1), replies(gone.encode(), times=1)
    async with (
        raw_server(*plays) as server,
        start_ask("Why?", "--url", f"http://127.0.0.1:{server.port}") as asker,
    ):
        await asked.wait()
        asker.interrupt()
        assert await asker.ended() == 130
    lines = [request.split(" HTTP")[0] for request in server.requests]
    assert lines[:3] == ["POST /api/v1/chat", "POST /api/v1/chat", f"DELETE /api/v1/chat/{TURN}"]


async def test_a_second_ctrl_c_exits_at_once() -> None:
    asked, stopping = anyio.Event(), anyio.Event()

    async def is_silent(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.request(reader)
        (stopping if asked.is_set() else asked).set()
        await server.request(reader)

    async with (
        raw_server(is_silent) as server,
        start_ask("Why?", "--url", f"http://127.0.0.1:{server.port}") as asker,
    ):
        await asked.wait()
        asker.interrupt()
        await stopping.wait()
        asker.interrupt()
        with anyio.fail_after(2):
            assert await asker.ended() == 130
    assert asker.err == ""


async def test_closing_the_output_stops_the_answer_silently(
    chat: Client, model: ScriptedModel
) -> None:
    resume = anyio.Event()
    model.answers(say("One", resume, " two", anyio.Event(), "never"))
    async with start_ask(QUESTION, "--url", chat.url) as running:
        await running.printed("One")
        running.close_pipe()
        resume.set()
        assert await running.ended() == 141
        with anyio.fail_after(SOON):
            await model.disconnected.wait()
    assert running.err == ""


async def test_an_event_whose_handling_is_interrupted_is_not_repeated() -> None:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
        f"X-Turn-Id: {TURN}\r\n\r\n"
    )
    token, done = (
        f'id: {TURN}-{number}\nevent: {name}\ndata: "One"\n\n'
        for number, name in enumerate(("token", "done"))
    )
    plays = (
        replies((head + token + done).encode(), times=1),
        replies((head + done).encode(), times=1),
    )
    async with raw_server(*plays) as server:
        turn = TurnClient(f"http://127.0.0.1:{server.port}", ChatRequest("Why?"), print)

        def next_event() -> SSEEvent | None:
            # Like an interrupt, returning ends the loop over the events.
            for event in turn.events():
                return event
            return None

        events = [await anyio.to_thread.run_sync(next_event) for _ in range(3)]
    assert [event and event.event for event in events] == ["token", "done", None]
    assert f"Last-Event-ID: {TURN}-0".lower() in server.requests[1].lower()
    assert len(server.requests) == 2
