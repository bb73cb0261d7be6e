"""Ask a question at the public address, and check how its stream arrives."""

from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import msgspec
from msgspec import Struct

from app.cli.ask.client import CHAT, rejection_message
from app.cli.ask.retry import reason
from app.cli.ask.service import Service
from app.cli.doctor.recording import Recording, content_encoding, record
from app.cli.doctor.report import Report, duration
from app.schemas import (
    ChatRequest,
    Citation,
    CreatorEntry,
    ErrorEvent,
    SearchResult,
    Timings,
    Usage,
)

# Seconds for each request but the question.
LIMIT = 5.0
# The service must take so many seconds to write an answer for buffering to show.
MIN_SPAN = 0.2
# Seconds of silence after which a heartbeat should have come.
HEARTBEAT_DUE = 20.0
BODY_LIMIT = 1 << 20
FALLBACK_QUESTION = "What is this library about?"
ENCODINGS = "gzip, deflate, br, zstd"
_UNBUFFERED = (
    "Turn off buffering for /api/ in the proxy (nginx: `proxy_buffering off`; deploy/nginx.conf"
    " does), and in the CDN before it."
)
_UNCOMPRESSED = (
    "Exclude text/event-stream from compression in the proxy (nginx: `gzip_types`) or CDN."
)


class _Done(Struct):
    timings_ms: Timings
    finish_reason: str
    usage: Usage | None


def check_stream(report: Report, service: Service, question: str | None) -> None:
    """Ask a question, and check that its events arrive as they are sent and can be resumed."""
    creator = None
    if question is None:
        question, creator = _choose_question(service)
    recording = _ask(report, service, ChatRequest(question, creator))
    if recording is None:
        report.skip("streaming", "not checked: there is no answer")
        return
    last = recording.last
    if last and last.event == "done":
        _check_answer(report, recording, question)
    else:
        _report_incomplete(report, recording)
        report.skip("streaming", "not checked: the answer is not complete")
    _check_heartbeats(report, recording)
    if recording.turn_id and recording.events:
        _check_replay(report, service, recording)
        _check_compression(report, service, recording)


def _ask(report: Report, service: Service, request: ChatRequest) -> Recording | None:
    try:
        return record(service, "POST", CHAT, msgspec.json.encode(request))
    except HTTPError as error:
        with error:
            _report_refused(report, error)
    except (HTTPException, OSError) as error:
        report.fail("question", f"no answer ({reason(error)})", "Check the proxy's log.")
    return None


def _report_incomplete(report: Report, recording: Recording) -> None:
    if recording.last is None:
        report.fail(
            "question",
            f"the stream ended after {duration(recording.seconds)}, before its end"
            f" ({recording.problem})",
            "A proxy cuts streams: raise its read timeout (nginx: `proxy_read_timeout 1h`).",
        )
    else:
        failed = msgspec.json.decode(recording.last.data, type=ErrorEvent)
        report.fail("question", failed.detail, "See above, and the service's log.")


def _choose_question(service: Service) -> tuple[str, str | None]:
    """Return a question about a document of the library, and the document's creator."""
    try:
        creators = _get(service, "/api/v1/creators", list[CreatorEntry])
        first = next(one for one in creators if one.videos or one.pages)
        path = f"/api/v1/search?q={quote(first.name)}&creator={quote(first.slug)}"
        found: tuple[Citation, ...] = _get(service, path, SearchResult).citations
        # With little of the creator's own, the search also finds other creators' documents.
        document = found[0]
    except (msgspec.DecodeError, HTTPException, OSError, StopIteration, IndexError):
        return FALLBACK_QUESTION, None
    creator = document.creator
    return f"What does {creator.name} say about {document.title}?"[:1000], creator.slug


def _get(service: Service, path: str, kind: Any) -> Any:
    with service.send("GET", path, timeout=LIMIT) as response:
        return msgspec.json.decode(response.read(BODY_LIMIT), type=kind)


def _report_refused(report: Report, error: HTTPError) -> None:
    status = error.code
    if status in (401, 403):
        report.skip(
            "question",
            f"refused ({status}): {rejection_message(error)}",
            "Set CHRYSOPEDIA_KEY to a secret key; for a proxy that asks for a password, put user"
            " and password into --url.",
        )
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


def _check_answer(report: Report, recording: Recording, question: str) -> None:
    assert recording.last  # noqa: S101 -- the caller has checked
    done = msgspec.json.decode(recording.last.data, type=_Done)
    tokens = sum(event.event == "token" for _, event in recording.events)
    refused = done.finish_reason == "refused"
    ending = "refused" if refused else f"{tokens} pieces"
    report.ok("question", f"“{question}”: {ending}, {duration(recording.seconds)}")
    written = (done.timings_ms.total - done.timings_ms.retrieval) / 1000
    arrived = recording.events[-1][0] - recording.events[0][0]
    if refused:
        report.skip(
            "streaming",
            "not checked: the question was refused, so no answer was streamed",
            "Ask about something in the library with --question.",
        )
    elif written < MIN_SPAN:
        report.skip(
            "streaming",
            f"not checked: the answer was written within {duration(written)}, too quickly for"
            " buffering to show",
            "Ask for a longer answer with --question."
            if done.usage
            else "Without a language model, all answers are quick: check again with one.",
        )
    elif arrived < written / 2:
        held_back = f"held back by compression ({recording.encoding})"
        report.fail(
            "streaming",
            f"{held_back if recording.encoding else 'buffered'}: written within"
            f" {duration(written)}, but it arrived within {duration(arrived)}",
            _UNCOMPRESSED if recording.encoding else _UNBUFFERED,
        )
    else:
        report.ok(
            "streaming", f"written within {duration(written)}, arrived within {duration(arrived)}"
        )


def _check_heartbeats(report: Report, recording: Recording) -> None:
    silence = f"longest silence {duration(recording.longest_silence)}"
    if recording.heartbeats:
        report.ok("heartbeats", f"{recording.heartbeats} received, {silence}")
    elif recording.longest_silence > HEARTBEAT_DUE:
        report.fail("heartbeats", f"none received, {silence}", _UNBUFFERED)
    else:
        report.skip("heartbeats", f"none was due, {silence}")


def _check_replay(report: Report, service: Service, recording: Recording) -> None:
    """Resume the stream after its first event, as a browser does."""
    first = recording.events[0][1]
    try:
        rest = record(service, "GET", f"{CHAT}/{recording.turn_id}", Last_Event_ID=first.id)
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


def _check_compression(report: Report, service: Service, recording: Recording) -> None:
    encoding, headers = recording.encoding, {"Accept-Encoding": ENCODINGS}
    if not encoding:
        # Encodings that the question was not asked with.
        path = f"{CHAT}/{recording.turn_id}"
        with (
            suppress(HTTPException, OSError),
            service.send("GET", path, headers=headers, timeout=LIMIT) as response,
        ):
            encoding = content_encoding(response)
    if not encoding:
        report.ok("compression", "streams are not compressed")
    else:
        report.warn(
            "compression",
            f"streams are compressed ({encoding}), which may hold events back",
            _UNCOMPRESSED,
        )
