import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import anyio
import anyio.lowlevel
import pytest

from tests.bench.check import ratios_of, regressions
from tests.bench.client import Load
from tests.bench.cpu_wait import CpuWait
from tests.bench.harness import Harness, InvalidRun, scripted_model
from tests.bench.plot import as_svg
from tests.bench.results import Figure, Results, Step
from tests.bench.script import HEAD, TOKEN, Script, question
from tests.bench.subjects import Environment, Subject, subject
from tests.bench.table import as_table
from tests.bench.viewer import Viewer

pytestmark = pytest.mark.anyio


class Closed:
    """A transport that discards everything."""

    def write(self, _: bytes) -> None: ...

    def close(self) -> None: ...


def fault_of(*events: tuple[str, str]) -> str:
    """Return the fault that a viewer of two tokens finds in these events."""
    viewer = Viewer(b"", 2, lambda: None, lambda: None)
    viewer.connection_made(cast(asyncio.Transport, Closed()))
    viewer.data_received(HEAD)
    for name, data in events:
        frame = f"event: {name}\ndata: {data}\n\n"
        viewer.data_received(f"{len(frame):x}\r\n{frame}\r\n".encode())
    viewer.data_received(b"0\r\n\r\n")
    return viewer.result().fault


SOURCES, DONE = ("sources", "[]"), ("done", "{}")
FIRST, SECOND = ("token", '" 0000.000000000000001"'), ("token", '" 0001.000000000000002"')


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([SOURCES, FIRST, SECOND, DONE], ""),
        ([SOURCES, SECOND, FIRST, DONE], "order"),
        ([SOURCES, FIRST, DONE], "received 1"),
        ([SOURCES, FIRST, SECOND], "no done"),
        ([SOURCES, FIRST, DONE, SECOND], "no done"),
        ([FIRST, SECOND, DONE], "no sources"),
    ],
)
def test_viewer_reports_faults_of_a_reply(events: list[tuple[str, str]], fault: str) -> None:
    found = fault_of(*events)
    assert fault in found
    assert bool(found) == bool(fault)


def results(service: float, streams: float = 500.0) -> Results:
    def figure(key: str, ours: float, higher_is_better: bool) -> Figure:
        values = {"reference": [100.0, 100.0], "service": [ours, ours], "floor": [10.0, 10.0]}
        return Figure(key, key, values, higher_is_better=higher_is_better)

    figures = [figure("instructions", service, False), figure("streams", streams, True)]
    steps = [Step("service", 100, 3.0, 0.0), Step("service", 600, 80.0, 0.4)]
    return Results({"processor": "one"}, figures, steps, {"burst": "the model was late"})


def test_figures_worse_by_more_than_a_tenth_are_reported() -> None:
    written = ratios_of(results(50.0))
    assert written["instructions"] == {"reference": 0.5, "floor": 5.0}
    assert regressions(results(54.9), written) == []
    found = regressions(results(56.0, streams=440.0), written)
    assert [line.partition(":")[0] for line in found] == ["instructions", "instructions", "streams"]


def test_better_and_new_figures_are_not_reported() -> None:
    written = ratios_of(results(50.0))
    del written["streams"]
    assert regressions(results(20.0, streams=1.0), written) == []


def test_table_names_invalid_parts_and_plot_is_valid_svg() -> None:
    table = as_table(results(50.0))
    assert "| instructions | 100 | 50.0 | 10.0 | 0.5 | 5 |" in table
    assert "INVALID** burst: the model was late" in table
    assert ElementTree.fromstring(as_svg(results(50.0).steps)).tag.endswith("svg")  # noqa: S314


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    cores = frozenset(os.sched_getaffinity(0))
    async with scripted_model() as port:
        environment = Environment("", "", port, Path(sys.executable), cores, cores)
        yield Harness(environment, check_time=False)


@pytest.fixture
async def floor(harness: Harness) -> AsyncIterator[Subject]:
    async with subject("floor", harness.environment) as server:
        yield server


@pytest.mark.parametrize(
    "script",
    [
        Script(20),
        Script(20, rate=200, streams=3),
        Script(20, rate=500, streams=3, steps=True),
    ],
)
async def test_every_token_of_a_script_arrives(
    harness: Harness, floor: Subject, script: Script
) -> None:
    load = Load(chats=3, tokens=20, at_once=3, opening=2, steps=script.steps)
    with anyio.fail_after(20):
        result = await harness.run_load(floor, script, load)
    assert (result.chats, result.tokens) == (3, 60)
    assert result.first_token_ms[0] > 0


@pytest.mark.parametrize("sample", [1, 2])
async def test_missing_token_makes_a_run_invalid(
    harness: Harness, floor: Subject, sample: int
) -> None:
    script = Script(19, rate=200, streams=2)
    load = Load(chats=2, tokens=20, at_once=2, opening=1, sample=sample)
    with anyio.fail_after(20), pytest.raises(InvalidRun, match="received 19"):
        await harness.run_load(floor, script, load)


async def test_polled_viewers_receive_every_token(harness: Harness, floor: Subject) -> None:
    script = Script(50, rate=100, streams=6)
    load = Load(chats=6, tokens=50, at_once=6, opening=2, sample=3)
    with anyio.fail_after(20):
        result = await harness.run_load(floor, script, load)
    assert result.tokens == 6 * 50
    # Only the two viewers that are not polled measure lateness; polling would add up to 200 ms.
    assert 0 < result.lateness_ms[0] < 100


async def test_model_reports_disconnected_streams(harness: Harness) -> None:
    await harness.set_script(Script(100, streams=1, steps=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.environment.model_port)
    with anyio.fail_after(20):
        writer.write(question(0, "/v1/chat/completions"))
        token = TOKEN.search(await reader.readuntil(b"}]}\n\n"))
        assert token
        assert await harness.disconnects() == {}
        writer.close()
        while not (disconnects := await harness.disconnects()):
            await anyio.lowlevel.checkpoint()
    assert list(disconnects) == [int(token[2])]


async def test_waiting_for_a_shared_core_is_measured() -> None:
    core = min(os.sched_getaffinity(0))
    busy = (sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass")
    both = [await asyncio.create_subprocess_exec(*busy) for _ in range(2)]
    try:
        cpu_wait = CpuWait(both[0].pid)
        with anyio.fail_after(20):
            while cpu_wait.fraction() < 0.3:
                await anyio.lowlevel.checkpoint()
    finally:
        for process in both:
            process.kill()
            await process.wait()


async def test_held_streams_end_when_released(harness: Harness, floor: Subject) -> None:
    load = Load(chats=5, tokens=2, at_once=5, opening=2, hold=True)
    with anyio.fail_after(20):
        async with harness.open_load(floor, Script(2, streams=5, steps=True), load) as running:
            result = await harness.finish_load(running)
    assert result.tokens == 10
