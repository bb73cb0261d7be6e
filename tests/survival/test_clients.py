"""Tests of unmodified clients that reconnect through nginx."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.clients.programs import (
    PAGE,
    ClientReport,
    browser,
    eventsource_client,
    fetch_event_source,
)
from tests.nginx import nginx
from tests.relay import relay
from tests.scripted_model import ScriptedModel, say
from tests.service import answer, running
from tests.survival.reading import QUESTION
from tests.workers import Worker, environment, worker

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

# Seconds for a client to start and to reconnect twice; Chromium waits 3 seconds each time.
LIMIT = 60

NODE = pytest.mark.needs("node", "npm")
CLIENTS = [
    pytest.param(browser, marks=pytest.mark.needs("chromium"), id="EventSource"),
    pytest.param(eventsource_client, marks=NODE, id="eventsource-client"),
    pytest.param(fetch_event_source, marks=NODE, id="fetch-event-source"),
]


@pytest.mark.parametrize("end", [Worker.kill, Worker.terminate], ids=["killed", "terminated"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_gets_the_whole_answer_after_losing_its_connection_and_worker(
    client: Callable[[str, str], AbstractAsyncContextManager[ClientReport]],
    end: Callable[[Worker], None],
    model_settings: Settings,
    model: ScriptedModel,
) -> None:
    cut, gone = anyio.Event(), anyio.Event()
    model.answers(say("One,", " two,", cut, " three,", gone, " four."))
    # How long the worker serves viewers of other workers' streams when it shuts down.
    settings = replace(model_settings, drain_time=0.2)
    with anyio.fail_after(LIMIT):
        async with (
            running(model_settings) as own,
            worker(environment(settings)) as other,
            relay(own.url.removeprefix("http://")) as to_own,
            relay(other.url.removeprefix("http://")) as to_other,
            # The first request goes to the first address, so that worker runs the turn.
            nginx([to_own.address, to_other.address], PAGE) as front,
            client(front.url, QUESTION) as report,
        ):
            await report.token(" two,")
            # Whichever worker serves the client now, it must reconnect to the other one.
            await to_own.close()
            to_other.cut()
            cut.set()
            await report.token(" three,")
            await to_own.open()
            end(other)
            await other.ended()
            gone.set()
            await report.ended()
    assert report.end == "done"
    assert answer(report.events) == "One, two, three, four."
    turn_id = report.events[-1].data["turn_id"]
    assert [event.id for event in report.events] == [
        f"{turn_id}-{number}" for number in range(len(report.events))
    ]
    assert len(model.requests) == 1
