"""Ask a question at the public address, and check how its stream arrives."""

import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import msgspec
from msgspec import Struct

from app.cli.ask.client import CHAT, FINAL_EVENTS, rejection_message
from app.cli.ask.retry import reason
from app.cli.ask.service import Service
from app.cli.doctor.report import Report, duration
from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent
from app.schemas import ChatRequest, Citation, CreatorEntry, ErrorEvent, SearchResult, Timings

# Seconds for other requests, without a byte of the stream, and for all of it.
LIMIT, SILENCE_LIMIT, STREAM_LIMIT = 5.0, 40.0, 180.0
# The service must take so many seconds to write an answer for buffering to show.
MIN_SPAN = 0.2
# Seconds of silence after which a heartbeat should have come.
HEARTBEAT_DUE = 20.0
BODY_LIMIT = 1 << 20
FALLBACK_QUESTION = "What is this library about?"
CODINGS = "gzip, deflate, br, zstd"
_UNBUFFERED = (
    "Turn off buffering for /api/ in the proxy (nginx: `proxy_buffering off`; deploy/nginx.conf"
    " does), and in the CDN before it."
)


class _Done(Struct):
    timings_ms: Timings
    finish_reason: str


class _Recording(Struct):
    """A stream: each event with its time, in seconds from the request, and what was between."""

    turn_id: str = ""
    encoding: str = ""
    events: list[tuple[float, SSEEvent]] = msgspec.field(default_factory=list)
    heartbeats: int = 0
    longest_silence: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    @property
    def last(self) -> SSEEvent | None:
        """The last event, if the stream is complete."""
        last = self.events[-1][1] if self.events else None
        return last if last and last.event in FINAL_EVENTS else None


def check_stream(report: Report, service: Service, question: str | None) -> None:
    """Ask a question, and check that its events arrive as they are sent and can be resumed."""
    creator = None
    if question is None:
        question, creator = _choose_question(service)
    body = msgspec.json.encode(ChatRequest(question, creator))
    try:
        recording = _record(service, "POST", CHAT, body)
    except HTTPError as error:
        with error:
            _report_refused(report, error)
        return
    except (HTTPException, OSError) as error:
        report.fail("question", f"no answer ({reason(error)})", "Check the proxy's log.")
        return
    if recording.last is None:
        report.fail(
            "question",
            f"the stream ended after {duration(recording.seconds)}, before its end"
            f" ({recording.problem})",
            "A proxy cuts streams: raise its read timeout (nginx: `proxy_read_timeout 1h`).",
        )
    elif recording.last.event == "error":
        failed = msgspec.json.decode(recording.last.data, type=ErrorEvent)
        report.fail("question", failed.detail, "See above, and the service's log.")
    else:
        _check_answer(report, recording, question)
    _check_heartbeats(report, recording)
    if recording.turn_id and recording.events:
        _check_replay(report, service, recording)


def _choose_question(service: Service) -> tuple[str, str | None]:
    """Return a question about a document of the library, and its creator."""
    try:
        creators = _get(service, "/api/v1/creators", list[CreatorEntry])
        first = next(one for one in creators if one.videos or one.pages)
        path = f"/api/v1/search?q={quote(first.name)}&creator={quote(first.slug)}"
        found: tuple[Citation, ...] = _get(service, path, SearchResult).citations
        title = found[0].title if found else first.name
    except (msgspec.DecodeError, HTTPException, OSError, StopIteration):
        return FALLBACK_QUESTION, None
    return f"What does {first.name} say about {title}?"[:1000], first.slug


def _get(service: Service, path: str, kind: Any) -> Any:
    with service.send("GET", path, timeout=LIMIT) as response:
        return msgspec.json.decode(response.read(BODY_LIMIT), type=kind)


def _record(
    service: Service, method: str, path: str, body: bytes | None = None, **headers: str
) -> _Recording:
    """Read a stream to its end. Raises HTTPException and OSError until its head has arrived."""
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    recording, decoder = _Recording(), SSEDecoder()
    started_at = time.perf_counter()
    with service.send(method, path, body, headers, timeout=SILENCE_LIMIT) as response:
        recording.turn_id = response.headers.get("X-Turn-Id", "")
        recording.encoding = response.headers.get("Content-Encoding", "identity")
        at = 0.0
        try:
            while recording.last is None and recording.seconds < STREAM_LIMIT:
                data = response.read1(1 << 16)
                recording.seconds = time.perf_counter() - started_at
                recording.longest_silence = max(recording.longest_silence, recording.seconds - at)
                at = recording.seconds
                if not data:
                    recording.problem = "the connection was closed"
                    break
                recording.heartbeats += data.startswith(b":") + data.count(b"\n:")
                recording.events += [(at, event) for event in decoder.feed(data)]
        except (HTTPException, OSError, BadEvent) as error:
            recording.seconds = time.perf_counter() - started_at
            recording.problem = reason(error)
    return recording


def _report_refused(report: Report, error: HTTPError) -> None:
    status = error.code
    if status in (401, 403):
        report.skip("question", f"refused ({status}): put user and password into --url")
    elif status == 429:
        report.skip("question", "refused (429): too many questions from here; try again later")
    elif status == 422:
        report.fail("question", f"refused (422): {rejection_message(error)}", "Ask another one.")
    else:
        report.fail(
            "question",
            f"refused ({status}): {rejection_message(error)}",
            "Check that the proxy passes POST requests, and the service's log.",
        )


def _check_answer(report: Report, recording: _Recording, question: str) -> None:
    assert recording.last  # noqa: S101 -- the caller has checked
    done = msgspec.json.decode(recording.last.data, type=_Done)
    tokens = sum(event.event == "token" for _, event in recording.events)
    ending = "refused" if done.finish_reason == "refused" else f"{tokens} pieces"
    report.ok("question", f"“{question}”: {ending}, {duration(recording.seconds)}")
    written = (done.timings_ms.total - done.timings_ms.retrieval) / 1000
    arrived = recording.events[-1][0] - recording.events[0][0]
    if written < MIN_SPAN:
        report.skip(
            "streaming",
            f"written within {duration(written)}, too quick to tell",
            "Ask for a long answer with --question; without a language model, none is.",
        )
    elif arrived < written / 2:
        report.fail(
            "streaming",
            f"buffered: written within {duration(written)}, but it arrived within"
            f" {duration(arrived)}",
            _UNBUFFERED,
        )
    else:
        report.ok(
            "streaming", f"written within {duration(written)}, arrived within {duration(arrived)}"
        )


def _check_heartbeats(report: Report, recording: _Recording) -> None:
    silence = f"longest silence {duration(recording.longest_silence)}"
    if recording.heartbeats:
        report.ok("heartbeats", f"{recording.heartbeats} received, {silence}")
    elif recording.longest_silence > HEARTBEAT_DUE:
        report.fail("heartbeats", f"none received, {silence}", _UNBUFFERED)
    else:
        report.skip("heartbeats", f"none was due, {silence}")


def _check_replay(report: Report, service: Service, recording: _Recording) -> None:
    """Resume the stream after its first event, as a browser does that accepts compression."""
    first = recording.events[0][1]
    path = f"{CHAT}/{recording.turn_id}"
    try:
        rest = _record(service, "GET", path, Last_Event_ID=first.id)
        compressed = _encoding(service, path)
    except (HTTPException, OSError) as error:
        found = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else reason(error)
        report.fail(
            "resume",
            f"the stream cannot be read again: {found}",
            "All workers must use the same Redis, and the proxy must pass GET requests.",
        )
        return
    sent = [event.id for _, event in recording.events]
    received = [event.id for _, event in rest.events]
    if received == sent[1:]:
        report.ok("resume", "a new connection continues after Last-Event-ID")
    elif received == sent:
        report.fail(
            "resume",
            "a new connection starts again from the beginning",
            "The proxy drops the request header Last-Event-ID: pass it on.",
        )
    else:
        report.fail(
            "resume",
            f"{len(received)} of {len(sent) - 1} events after Last-Event-ID",
            "All workers must use the same Redis; the service's log may say more.",
        )
    if compressed == "identity":
        report.ok("compression", "streams are not compressed")
    else:
        report.warn(
            "compression",
            f"streams are compressed ({compressed}), which may hold events back",
            "Exclude text/event-stream from compression in the proxy or CDN.",
        )


def _encoding(service: Service, path: str) -> str:
    headers = {"Accept": "text/event-stream", "Accept-Encoding": CODINGS}
    with service.send("GET", path, headers=headers, timeout=LIMIT) as response:
        return str(response.headers.get("Content-Encoding", "identity")).strip().lower()
