"""The load test's reading of streams and its summary, without Locust."""

import pytest
from anyio import to_thread

from app.config import Settings
from tests.load.questions import EmptyLibrary, make_questions
from tests.load.reading import (
    BETWEEN,
    FIRST,
    RESUMED,
    SOURCES,
    STOPPED,
    WHOLE,
    Reading,
    StreamFault,
)
from tests.load.summary import Figure, Summary
from tests.service import running, unlimited

TURN = "t_1"


def event(number: int, name: str, data: str = '""') -> list[bytes]:
    """Return an event's lines."""
    return f"id: {TURN}-{number}\nevent: {name}\ndata: {data}\n\n".encode().splitlines(True)


def read(reading: Reading, *events: list[bytes], at: float = 1.0) -> list[tuple[str, float]]:
    """Feed the events, a second apart, the first one at `at`."""
    return [
        figure
        for number, lines in enumerate(events)
        for line in lines
        for figure in reading.feed(line, at + number)
    ]


def read_whole(events: list[list[bytes]]) -> None:
    """Feed the events, then close the stream."""
    reading = Reading(began=0.0)
    read(reading, *events)
    reading.close()


def test_answer_is_timed_from_its_request() -> None:
    reading = Reading(began=0.5)
    ping = [b": ping\n", b"\n"]
    events = (event(0, "sources"), event(1, "token"), ping, event(2, "token"), event(3, "done"))
    figures = [(SOURCES, 0.5), (FIRST, 1.5), (BETWEEN, 2.0), (WHOLE, 4.5)]
    assert read(reading, *events) == figures
    reading.close()


def test_resumed_answer_is_timed_from_the_resume() -> None:
    reading = Reading(began=0.0)
    read(reading, event(0, "sources"), event(1, "token"))
    assert (reading.turn_id, reading.last_id) == (TURN, f"{TURN}-1")
    reading.resume(9.5)
    rest = (event(2, "token"), event(3, "token"), event(4, "done"))
    assert read(reading, *rest, at=10.0) == [(RESUMED, 0.5), (BETWEEN, 1.0)]


def test_stopped_answer_is_timed_until_its_end() -> None:
    reading = Reading(began=0.0)
    read(reading, event(0, "sources"), event(1, "token"))
    reading.stopped = 2.5
    assert read(reading, event(2, "done"), at=3.0) == [(STOPPED, 0.5)]


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([event(0, "sources"), event(2, "token")], "lost"),
        ([event(0, "sources"), event(1, "token"), event(1, "token")], "repeated"),
        ([event(0, "token")], "sources"),
        ([event(0, "sources"), event(1, "sources")], "sources"),
        ([event(0, "sources"), event(1, "done"), event(2, "token")], "after done"),
        ([event(0, "sources"), event(1, "token")], "without done"),
        ([event(0, "sources"), event(1, "done")[:-1]], "without done"),
        ([event(0, "sources"), event(1, "error", '{"type": "urn:lost"}')], "urn:lost"),
    ],
)
def test_faults_of_a_stream_are_reported(events: list[list[bytes]], fault: str) -> None:
    with pytest.raises(StreamFault, match=fault):
        read_whole(events)


def summary(p95: float = 100.0, failures: int = 0, answers: int = 3) -> Summary:
    figures = [
        Figure(FIRST, 3, 50.0, p95, 900.0, 1_000.0),
        Figure(WHOLE, answers, 5_000.0, 5_000.0, 5_000.0, 5_000.0),
    ]
    return Summary(figures, {FIRST: 100.0}, failures, max_failures=1)


def test_run_within_its_limits_passes() -> None:
    assert not summary(failures=1).violations
    assert str(summary()).endswith("PASS")


@pytest.mark.parametrize(
    ("run", "violation"),
    [
        (summary(p95=101.0), "first token: p95 101 ms, limit 100 ms"),
        (summary(failures=2), "failures: 2, limit 1"),
        (summary(answers=0), "no answer"),
    ],
)
def test_run_over_a_limit_fails_and_names_it(run: Summary, violation: str) -> None:
    assert [violation in it for it in run.violations] == [True]
    assert f"FAIL: {run.violations[0]}" in str(run)


@pytest.mark.anyio
async def test_questions_come_from_the_library(library_url: str, redis_url: str) -> None:
    settings = unlimited(Settings(database_url=library_url, redis_url=redis_url))
    async with running(settings) as service:
        questions = await to_thread.run_sync(make_questions, service.url)
    assert len({question.creator for question in questions}) > 1
    assert any("Inside a mastering session" in question.query for question in questions)
    assert all(question.topic for question in questions)


@pytest.mark.anyio
async def test_empty_library_is_an_error(database_url: str, redis_url: str) -> None:
    async with running(Settings(database_url=database_url, redis_url=redis_url)) as service:
        with pytest.raises(EmptyLibrary, match="is empty"):
            await to_thread.run_sync(make_questions, service.url)
