"""Traces are continued, logged and passed on per W3C Trace Context."""

import json
import re
from typing import Literal

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from app.tracing import TraceContext, continue_trace, current
from tests.scripted_embedder import embeddings
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import running
from tests.workers import environment, worker

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"
OUTGOING = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")
QUESTION = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}


def continued(*headers: tuple[str, str]) -> TraceContext:
    """Continue the trace of these headers."""
    return continue_trace([(name.encode(), value.encode("latin-1")) for name, value in headers])


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        (GIVEN, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        # Only the last bit of the flags has a meaning.
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"00-{TRACE}-{PARENT}-02", False),
        # Later versions are read like version 00, whatever fields they add.
        (f"01-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-00-what-the-future-will-be-like", False),
        (f"cc-{TRACE}-{PARENT}-01-", True),
        (f" {GIVEN}\t", True),
    ],
)
def test_a_callers_trace_is_continued(given: str, sampled: bool) -> None:
    trace = continued(("host", "x"), ("traceparent", given), ("accept", "*/*"))
    assert (trace.trace_id, trace.sampled, trace.state) == (TRACE, sampled, "")
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert trace.span_id != PARENT
    assert trace.headers == {"traceparent": f"00-{TRACE}-{trace.span_id}-0{sampled:d}"}


@pytest.mark.parametrize(
    "given",
    [
        *("", "nonsense", TRACE, f"{TRACE}-{PARENT}-01", GIVEN[:-3], GIVEN[:-1]),
        *(GIVEN.upper(), GIVEN.replace("-", "_"), GIVEN + "0", GIVEN + "-", GIVEN + "-00"),
        *(f"0-{TRACE}-{PARENT}-01", f"000-{TRACE}-{PARENT}-01", f".0-{TRACE}-{PARENT}-01"),
        *(f"ff-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01.x", f"cc-{TRACE}-{PARENT}-010"),
        *(f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f"00-{TRACE[1:]}-{PARENT}-01", f"00-{TRACE}0-{PARENT}-01", f"00-{TRACE}-{PARENT}0-01"),
        *(f"00-{TRACE[:-1]}g-{PARENT}-01", f"00-{TRACE}-{PARENT}-0x", f"00-{TRACE}-{PARENT}-1 "),
        *(f"{GIVEN},{GIVEN}", f"00-{TRACE}-{PARENT} -01", GIVEN + "\n", f"é0-{TRACE}-{PARENT}-01"),
    ],
)
def test_an_invalid_trace_is_replaced_by_a_new_one(given: str) -> None:
    trace = continued(("traceparent", given), ("tracestate", "vendor=1"))
    assert OUTGOING.fullmatch(trace.headers["traceparent"])
    assert (trace.trace_id != TRACE, trace.sampled) == (True, True)
    assert trace.state == "", "a new trace must not have the state of another"


def test_every_new_trace_is_unique() -> None:
    traces = {continued().trace_id for _ in range(100)}
    spans = {continued(("traceparent", GIVEN)).span_id for _ in range(100)}
    assert (len(traces), len(spans)) == (100, 100)
    assert continued(("traceparent", GIVEN), ("traceparent", GIVEN)).trace_id != TRACE


@pytest.mark.parametrize(
    "states",
    [
        ["congo=t61rcWkgMzE"],
        ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"],
        ["rojo=1", "congo=2"],
        ["rojo=1 , \tcongo=2,,", ""],
        ["fw529a3039@dt=FfD/4-1!;_", "0@v=1"],
        ["a=1,b= two words"],
        ["z" * 256 + "=" + "v" * 256, "t" * 241 + "@" + "v" * 14 + "=1"],
        [",".join(f"k{number}=1" for number in range(32))],
        ["same=1,same=2"],
    ],
)
def test_vendor_state_is_passed_on_unchanged(states: list[str]) -> None:
    trace = continued(("traceparent", GIVEN), *(("tracestate", state) for state in states))
    assert trace.headers["tracestate"] == ",".join(states)


@pytest.mark.parametrize(
    "states",
    [
        *("", ",", "foo", "=1", "foo=", "foo=1=2", "Foo=1", "foo =1", "foo= "),
        *("foo@=1", "@foo=1", "foo@@bar=1", "foo@bar@baz=1", "1foo=1", "foo@1=1", "foo=é"),
        *("z" * 257 + "=1", "foo=" + "v" * 257, "t" * 242 + "@v=1", "t@" + "v" * 15 + "=1"),
        *("foo=1\x01", "ok=1,bad", ",".join(f"k{number}=1" for number in range(33))),
    ],
)
def test_invalid_vendor_state_is_dropped(states: str) -> None:
    trace = continued(("traceparent", GIVEN), ("tracestate", states))
    assert (trace.trace_id, trace.state) == (TRACE, "")
    assert set(trace.headers) == {"traceparent"}


@pytest.fixture
def traced_settings(model_settings: Settings) -> Settings:
    return replace(model_settings, llm_fallback_model="second")


async def test_a_trace_reaches_the_model_at_each_attempt(
    traced_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(refuse(404), say("Yes."))
    headers = {"traceparent": GIVEN[:-1] + "0", "tracestate": "congo=t61rcWkgMzE,rojo=1"}
    async with running(traced_settings) as client, client.stream(QUESTION, headers) as stream:
        assert (await stream.rest())[-1].name == "done"
    first, second = (request.headers for request in model.requests)
    assert first["traceparent"] == second["traceparent"]
    assert first["tracestate"] == second["tracestate"] == headers["tracestate"]
    sent = OUTGOING.fullmatch(first["traceparent"])
    assert sent
    assert (sent[1], sent[3]) == (TRACE, "00")
    assert sent[2] != PARENT


async def test_the_model_receives_a_new_trace_if_the_caller_had_none(
    traced_settings: Settings, model: ScriptedModel
) -> None:
    async with running(traced_settings) as client:
        await client.ask(QUESTION["query"])
        await client.ask(QUESTION["query"])
    one, other = (request.headers for request in model.requests)
    assert OUTGOING.fullmatch(one["traceparent"])
    assert one["traceparent"][3:35] != other["traceparent"][3:35]
    assert "tracestate" not in one


async def test_an_embedding_server_receives_the_trace(model: ScriptedModel) -> None:
    model.answers(embeddings())
    token = current.set(continued(("traceparent", GIVEN)))
    async with HTTPClient() as http:
        await RemoteEmbedder(
            http, RemoteConfig(base_url=model.base_url, model="m")
        ).embed_questions(["a"])
        current.reset(token)
        await RemoteEmbedder(
            http, RemoteConfig(base_url=model.base_url, model="m")
        ).embed_questions(["a"])
    within, outside = (request.headers for request in model.requests)
    assert within["traceparent"].startswith(f"00-{TRACE}-")
    assert "traceparent" not in outside


@pytest.mark.parametrize("form", ["text", "json"])
async def test_every_log_line_of_a_request_has_its_trace_and_span(
    traced_settings: Settings, model: ScriptedModel, form: Literal["text", "json"]
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, b"data: {nonsense\n\n"))
    headers = {"traceparent": GIVEN, "X-Request-Id": "r-1"}
    async with worker({**environment(traced_settings), "LOG_FORMAT": form}) as running_worker:
        async with running_worker.stream(QUESTION, headers) as stream:
            seen = await stream.until("token")
        # The request has ended, but its turn continues.
        async with running_worker.follow(seen[0].id.rpartition("-")[0]) as again:
            held.set()
            assert (await again.rest())[-1].name == "error"
        running_worker.terminate()
        await running_worker.ended()
    lines = [line for line in running_worker.log if "r-1" in line]
    assert any("failed in the middle of an answer" in line for line in lines), running_worker.log
    assert any("POST /api/v1/chat 200" in line for line in lines)
    (sent,) = (request.headers["traceparent"] for request in model.requests)
    span = sent[36:52]
    for line in lines:
        if form == "json":
            fields = json.loads(line)
            assert (fields["trace_id"], fields["span_id"]) == (TRACE, span)
        else:
            assert line.endswith(f" trace_id={TRACE} span_id={span}\n")
    others = [line for line in running_worker.log if "GET /api/v1/chat/" in line]
    assert others
    assert TRACE not in "".join(others)
