"""Locust users who ask, follow up, disconnect, resume and stop; prints a summary.

    locust -f tests/load/locustfile.py --host http://127.0.0.1:8000 --headless -u 30 -t 60s

`make load` starts a service for it. Locust measures a response up to its headers; this file
measures the events of a stream and reports them as requests of the type SSE.
"""

import logging
from argparse import ArgumentParser
from dataclasses import replace
from http import HTTPStatus
from random import Random
from time import perf_counter
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import uuid4

import gevent
from geventhttpclient.response import HTTPParseError
from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsEntry

from tests.load.questions import EmptyLibrary, Question, draw
from tests.load.reading import FIGURES, WHOLE, Reading, StreamFault
from tests.load.summary import LIMITS, Figure, Summary

log = logging.getLogger(__name__)

CHAT = "/api/v1/chat"
TURN = f"{CHAT}/{{turn}}"
SSE = "SSE"
STREAM = {"Accept": "text/event-stream"}
STREAMED: dict[str, Any] = {"stream": True, "catch_response": True}


class Reader(FastHttpUser):
    """A user; `questions` are drawn from the library when the test starts."""

    wait_time = between(1, 3)
    questions: ClassVar[list[Question]] = []

    def on_start(self) -> None:
        """Create the random generator."""
        self._chance = Random()  # noqa: S311 -- chance, no secret

    @task(10)
    def ask(self) -> None:
        """Ask and read the whole answer."""
        self._ask(self._question())

    @task(4)
    def follow_up(self) -> None:
        """Ask, and follow up in the same conversation."""
        question = self._question()
        conversation_id = f"load-{uuid4()}"
        if self._ask(question, conversation_id).end:
            further = replace(question, query=f"And what of {question.topic}?")
            self._ask(further, conversation_id)

    @task(3)
    def resume(self) -> None:
        """Disconnect in the middle of an answer and resume shortly after."""
        reading = self._ask(self._question(), leave_after=self._chance.randint(2, 60))
        if reading.last_id and not reading.end:
            gevent.sleep(self._chance.uniform(0, 2))
            reading.resume(perf_counter())
            headers = {**STREAM, "Last-Event-ID": reading.last_id}
            url = f"{CHAT}/{reading.turn_id}"
            with self.client.get(url, name=TURN, headers=headers, **STREAMED) as reply:
                self._read(reply, reading)

    @task(1)
    def hang_up(self) -> None:
        """Disconnect in the middle of an answer for good."""
        self._ask(self._question(), leave_after=self._chance.randint(2, 60))

    @task(2)
    def stop_answer(self) -> None:
        """Stop the answer and read its last event."""
        self._ask(self._question(), stop_after=self._chance.randint(2, 60))

    @task(2)
    def look_around(self) -> None:
        """List creators and search."""
        asked = self._question()
        prefix, query = urlencode({"prefix": asked.creator[:2]}), urlencode({"q": asked.query})
        self.client.get(f"/api/v1/creators?{prefix}", name="/api/v1/creators")
        self.client.get(f"/api/v1/search?{query}", name="/api/v1/search")

    def _question(self) -> Question:
        return self._chance.choice(self.questions)

    def _ask(
        self,
        question: Question,
        conversation_id: str | None = None,
        *,
        leave_after: int = 0,
        stop_after: int = 0,
    ) -> Reading:
        """Ask and read the answer to its end, or up to the event after which to leave or stop."""
        body = {
            "query": question.query,
            "creator": question.creator,
            "conversation_id": conversation_id,
        }
        reading = Reading(perf_counter())
        with self.client.post(CHAT, json=body, headers=STREAM, **STREAMED) as reply:
            self._read(reply, reading, leave_after, stop_after)
        return reading

    def _read(
        self, reply: FastResponse, reading: Reading, leave_after: int = 0, stop_after: int = 0
    ) -> None:
        if reply.status_code != HTTPStatus.OK:
            if HTTPStatus.OK < reply.status_code < HTTPStatus.BAD_REQUEST:
                # Locust records all other failures by itself.
                reply.failure(f"status {reply.status_code}")
            return
        try:
            with reply.stream as lines:
                while line := lines.readline(b"\n"):
                    now = perf_counter()
                    for figure, seconds in reading.take(line, now):
                        self._report(figure, seconds)
                    if not line.strip() and reading.count == leave_after and not reading.end:
                        return
                    if reading.count == stop_after and reading.stopped is None and stop_after:
                        reading.stopped = now
                        self.client.delete(f"{CHAT}/{reading.turn_id}", name=TURN)
                reading.close()
        except StreamFault as fault:
            self._report(WHOLE, perf_counter() - reading.began, fault)
        except (HTTPParseError, OSError):
            self._report(WHOLE, perf_counter() - reading.began, StreamFault("it is cut"))

    def _report(self, figure: str, seconds: float, fault: StreamFault | None = None) -> None:
        self.environment.events.request.fire(
            request_type=SSE,
            name=figure,
            response_time=seconds * 1_000,
            response_length=0,
            exception=fault,
            context=self.context(),
        )


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments for the limits of a run."""
    group = parser.add_argument_group("Limits", "what the run has to keep to, or it fails")
    for figure in FIGURES:
        group.add_argument(
            f"--{figure.replace(' ', '-')}-p95",
            type=float,
            default=LIMITS.get(figure, 0),
            metavar="MS",
            help=f"{figure}: milliseconds that 95 of 100 may take (0: any)",
        )
    group.add_argument(
        "--max-failures", type=int, default=0, metavar="N", help="replies and streams that may fail"
    )


@events.test_start.add_listener
def draw_questions(environment: Environment, **_: Any) -> None:
    """Draw the questions, in each process that has users."""
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        Reader.questions = draw(str(environment.host))
    except (OSError, EmptyLibrary) as error:
        raise StopTest(f"No questions: {error}") from None


@events.test_stop.add_listener
def tell(environment: Environment, **_: Any) -> None:
    """Print the summary of a run that was started from locust's web page."""
    if environment.web_ui is not None:
        print(f"\n{summary(environment)}\n", flush=True)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Print the summary and set the exit status."""
    if not isinstance(environment.runner, WorkerRunner):
        last = summary(environment)
        print(f"\n{last}\n", flush=True)
        environment.process_exit_code = 1 if last.complaints else 0


def summary(environment: Environment) -> Summary:
    """Summarise the measurements of all processes."""
    given = vars(environment.parsed_options)
    limits = {name: given[f"{name.replace(' ', '_')}_p95"] for name in FIGURES}
    entries = ((name, environment.stats.entries.get((name, SSE))) for name in FIGURES)
    broken = sum(it["count"] for it in environment.runner.exceptions.values())
    return Summary(
        figures=[figure(name, entry) for name, entry in entries if entry],
        limits={name: limit for name, limit in limits.items() if limit},
        failures=environment.stats.num_failures + broken,
        most_failures=given["max_failures"],
    )


def figure(name: str, entry: StatsEntry) -> Figure:
    """Return locust's measurements of a figure."""
    at = entry.get_response_time_percentile
    return Figure(name, entry.num_requests, at(0.5), at(0.95), at(0.99), entry.max_response_time)
