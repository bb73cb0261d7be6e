"""Restarts two workers behind nginx, one after the other, under fifty streams.

Half of the viewers read the reply to their own question; the others ask, and then follow the turn
like a browser's EventSource. Viewers that are disconnected resume with `Last-Event-ID`.
"""

import re

import aiohttp
import anyio
import pytest
from msgspec import Struct, field
from msgspec.structs import replace

from app.config import Settings
from tests.nginx import nginx
from tests.scripted_model import Answer, Request, ScriptedModel, say
from tests.servers import free_ports
from tests.service import CHAT, Client, Event, Stream, answer
from tests.survival.reading import QUESTION
from tests.workers import Worker, environment, worker

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

STREAMS = 50
# Seconds for a worker's own turns and for its viewers of other turns.
DRAIN_TIME = 5.0
# Seconds: workers start four times, on a busy machine.
LIMIT = 120
# Reports which worker answered.
WHICH = "add_header X-Worker $upstream_addr always;"
WHOLE = "One, two, three."


class Viewer(Struct, eq=False):
    """A client and the events it has received; `worker` is the address of the turn's worker."""

    number: int
    turn_id: str = ""
    worker: str = ""
    events: list[Event] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    goes_on: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    cuts: int = 0


async def watch(front: Client, viewer: Viewer) -> None:
    """Ask, and follow the answer to its end, however often the connection breaks."""
    url = front.url + CHAT
    question = {"query": f"{QUESTION} No. {viewer.number}."}
    async with front.http.post(url, json=question) as response:
        assert response.status == 200, await response.text()
        viewer.turn_id = response.headers["X-Turn-Id"]
        # If a worker refused it, the last address is the one that accepted it.
        viewer.worker = response.headers["X-Worker"].split(", ")[-1]
        # Not every second one: those are all on one worker.
        if viewer.number % 4 < 2:
            await read(response, viewer)
    while not viewer.ended.is_set():
        headers = {"Last-Event-ID": viewer.events[-1].id} if viewer.events else {}
        try:
            async with front.http.get(f"{url}/{viewer.turn_id}", headers=headers) as response:
                assert response.status == 200, await response.text()
                await read(response, viewer)
        except aiohttp.ServerDisconnectedError:
            viewer.cuts += 1


async def read(response: aiohttp.ClientResponse, viewer: Viewer) -> None:
    """Read until the stream ends or breaks."""
    try:
        async for event in Stream(response).events():
            viewer.events.append(event)
            if event.name == "token":
                viewer.begun.set()
            if event.name in ("done", "error"):
                viewer.ended.set()
    except aiohttp.ClientPayloadError:
        pass
    viewer.cuts += not viewer.ended.is_set()


async def keep_asking(front: Client, answers: list[str], scope: anyio.CancelScope) -> None:
    """Ask one short question after another, until the scope is cancelled."""
    with scope:
        while True:
            answers.append(answer(await front.ask(QUESTION)))


async def shut_down(running: Worker) -> None:
    """Terminate a worker, and wait until it reports that it is draining."""
    running.terminate()
    while (await running.call("GET", "/readyz"))[0] == 200:
        pass


async def test_a_rolling_restart_loses_no_event(
    model_settings: Settings, model: ScriptedModel
) -> None:
    viewers = [Viewer(number) for number in range(STREAMS)]
    answers, asking = list[str](), anyio.CancelScope()
    first_is_away = anyio.Event()

    def script(request: Request) -> Answer:
        number = re.search(r"No\. (\d+)\.", request.messages[-1]["content"])
        if number is None:
            return say(WHOLE)
        return say("One,", first_is_away, " two,", viewers[int(number[1])].goes_on, " three.")

    model.answers(script)
    common = environment(replace(model_settings, drain_time=DRAIN_TIME))
    settings = [{**common, "PORT": str(port)} for port in free_ports(2)]
    with anyio.fail_after(LIMIT):
        async with worker(settings[0]) as one, worker(settings[1]) as other:
            addresses = [each.url.removeprefix("http://") for each in (one, other)]
            async with nginx(addresses, WHICH) as front, anyio.create_task_group() as tasks:
                for viewer in viewers:
                    tasks.start_soon(watch, front, viewer)
                tasks.start_soon(keep_asking, front, answers, asking)
                for viewer in viewers:
                    await viewer.begun.wait()
                await shut_down(one)
                first_is_away.set()
                for viewer in viewers:
                    if viewer.worker == addresses[0]:
                        viewer.goes_on.set()
                assert await one.ended() == 0
                async with worker(settings[0]):
                    await shut_down(other)
                    for viewer in viewers:
                        viewer.goes_on.set()
                    assert await other.ended() == 0
                    async with worker(settings[1]):
                        for viewer in viewers:
                            await viewer.ended.wait()
                        asking.cancel()
    for viewer in viewers:
        last = viewer.events[-1]
        ids = [f"{viewer.turn_id}-{number}" for number in range(len(viewer.events))]
        assert [event.id for event in viewer.events] == ids
        assert (last.name, answer(viewer.events)) == ("done", WHOLE), last
    assert {viewer.worker for viewer in viewers} == set(addresses)
    assert any(viewer.cuts for viewer in viewers)
    assert set(answers) == {WHOLE}
