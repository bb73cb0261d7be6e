"""Locust users that ask, follow up, disconnect, resume and stop answers.

    locust -f tests/load/locustfile.py --host http://127.0.0.1:8000 --headless -u 30 -t 60s

Locust measures a response up to its headers. Events are measured here, and reported as requests of
the type SSE.
"""

import logging
from argparse import ArgumentParser
from dataclasses import replace
from http import HTTPStatus
from random import Random
from time import perf_counter
from typing import Any, ClassVar
from urllib.parse import urlencode

import gevent
from geventhttpclient.response import HTTPParseError
from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsEntry

from tests.load.questions import EmptyLibrary, Question, make_questions
from tests.load.reading import FIGURES, WHOLE, Reading, StreamFault
from tests.load.summary import LIMITS, Figure, Summary

log = logging.getLogger(__name__)

CHAT = "/api/v1/chat"
TURN = f"{CHAT}/{{turn}}"
SSE = "SSE"
STREAM = {"Accept": "text/event-stream"}
STREAMED: dict[str, Any] = {"stream": True, "catch_response": True}


class ChatUser(FastHttpUser):
    """A user; `questions` are made from the library when the test starts."""

    wait_time = between(1, 3)
    questions: ClassVar[list[Question]] = []

    def on_start(self) -> None:
        """Set up the random choices."""
        self._rng = Random()  # noqa: S311 -- not a secret

    @task(10)
    def ask(self) -> None:
        """Ask, and read the answer to its end."""
        self._ask(self._question())

    @task(4)
    def follow_up(self) -> None:
        """Ask, then follow up in the same conversation."""
        question = self._question()
        first = self._ask(question)
        if first.end == "done":
            follow_up = replace(question, query=f"And what about {question.topic}?")
            self._ask(follow_up, first.conversation_id)

    @task(3)
    def resume(self) -> None:
        """Disconnect in the middle, and resume within two seconds."""
        reading = self._ask(self._question(), disconnect_after=self._rng.randint(2, 60))
        if reading.last_id and not reading.end:
            gevent.sleep(self._rng.uniform(0, 2))
            reading.resume(perf_counter())
            headers = {**STREAM, "Last-Event-ID": reading.last_id}
            url = f"{CHAT}/{reading.turn_id}"
            with self.client.get(url, name=TURN, headers=headers, **STREAMED) as reply:
                self._read(reply, reading)

    @task(1)
    def abandon(self) -> None:
        """Disconnect in the middle and do not return."""
        self._ask(self._question(), disconnect_after=self._rng.randint(2, 60))

    @task(2)
    def stop_answer(self) -> None:
        """Stop the answer, and read to its end."""
        self._ask(self._question(), stop_after=self._rng.randint(2, 60))

    @task(2)
    def search(self) -> None:
        """List creators, and search."""
        question = self._question()
        prefix = urlencode({"prefix": question.creator[:2]})
        query = urlencode({"q": question.query})
        self.client.get(f"/api/v1/creators?{prefix}", name="/api/v1/creators")
        self.client.get(f"/api/v1/search?{query}", name="/api/v1/search")

    def _question(self) -> Question:
        return self._rng.choice(self.questions)

    def _ask(
        self,
        question: Question,
        conversation_id: str | None = None,
        *,
        disconnect_after: int = 0,
        stop_after: int = 0,
    ) -> Reading:
        """Ask, and read the answer to its end; disconnect or stop after that many events."""
        body = {
            "query": question.query,
            "creator": question.creator,
            "conversation_id": conversation_id,
        }
        reading = Reading(perf_counter())
        with self.client.post(CHAT, json=body, headers=STREAM, **STREAMED) as reply:
            self._read(reply, reading, disconnect_after, stop_after)
        return reading

    def _read(
        self, reply: FastResponse, reading: Reading, disconnect_after: int = 0, stop_after: int = 0
    ) -> None:
        if reply.status_code != HTTPStatus.OK:
            if HTTPStatus.OK < reply.status_code < HTTPStatus.BAD_REQUEST:
                # Locust itself reports all other failures.
                reply.failure(f"status {reply.status_code}")
            return
        try:
            with reply.stream as lines:
                while line := lines.readline(b"\n"):
                    now = perf_counter()
                    for figure, seconds in reading.feed(line, now):
                        self._report(figure, seconds)
                    if not line.strip() and reading.count == disconnect_after and not reading.end:
                        return
                    if reading.count == stop_after and reading.stopped is None and stop_after:
                        reading.stopped = now
                        self.client.delete(f"{CHAT}/{reading.turn_id}", name=TURN)
                reading.close()
        except StreamFault as fault:
            self._report(WHOLE, perf_counter() - reading.began, fault)
        except (HTTPParseError, OSError):
            self._report(WHOLE, perf_counter() - reading.began, StreamFault("connection lost"))

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
    """Add the key, and the limits of a run."""
    parser.add_argument(
        "--key",
        env_var="CHRYSOPEDIA_KEY",
        default="",
        is_secret=True,
        help="secret key of a service with AUTH=on (better in the environment: CHRYSOPEDIA_KEY)",
    )
    group = parser.add_argument_group("Limits", "The run fails if one of these is exceeded.")
    for figure in FIGURES:
        group.add_argument(
            f"--{figure.replace(' ', '-')}-p95",
            type=float,
            default=LIMITS.get(figure, 0),
            metavar="MS",
            help=f"p95 of {figure} in milliseconds (0: no limit; default: %(default)g)",
        )
    group.add_argument(
        "--max-failures",
        type=int,
        default=0,
        metavar="N",
        help="failed responses and streams (default: 0)",
    )


@events.test_start.add_listener
def load_questions(environment: Environment, **_: Any) -> None:
    """Make the questions, in each process that has users."""
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        key = environment.parsed_options.key if environment.parsed_options else ""
        ChatUser.default_headers = {"Authorization": f"Bearer {key}"} if key else None
        ChatUser.questions = make_questions(str(environment.host), key)
    except (OSError, EmptyLibrary) as error:
        raise StopTest(f"Cannot make questions: {error}") from None


@events.test_stop.add_listener
def print_summary(environment: Environment, **_: Any) -> None:
    """Print the summary of a run that was started in Locust's web page."""
    if environment.web_ui is not None:
        print(f"\n{summary(environment)}\n", flush=True)


@events.quitting.add_listener
def set_exit_status(environment: Environment, **_: Any) -> None:
    """Print the summary, and set the exit status."""
    if not isinstance(environment.runner, WorkerRunner):
        last = summary(environment)
        print(f"\n{last}\n", flush=True)
        environment.process_exit_code = 1 if last.violations else 0


def summary(environment: Environment) -> Summary:
    """Summarize the run over all processes."""
    options = vars(environment.parsed_options)
    limits = {name: options[f"{name.replace(' ', '_')}_p95"] for name in FIGURES}
    entries = ((name, environment.stats.entries.get((name, SSE))) for name in FIGURES)
    exceptions = sum(one["count"] for one in environment.runner.exceptions.values())
    return Summary(
        figures=[figure(name, entry) for name, entry in entries if entry],
        limits={name: limit for name, limit in limits.items() if limit},
        failures=environment.stats.num_failures + exceptions,
        max_failures=options["max_failures"],
    )


def figure(name: str, entry: StatsEntry) -> Figure:
    """Convert Locust's statistics of a figure."""
    p50, p95, p99 = map(entry.get_response_time_percentile, (0.5, 0.95, 0.99))
    return Figure(name, entry.num_requests, p50, p95, p99, entry.max_response_time)
