"""Client for one turn: yields each event of its answer once, across broken connections.

It uses the blocking client of the standard library rather than `infra.http`: Ctrl-C must interrupt
any wait and then stop the turn, which would be harder to follow with an event loop.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, IncompleteRead
from ssl import SSLCertVerificationError
from typing import Any
from urllib.error import HTTPError, URLError

import msgspec

from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.cli.ask.retry import Backoff, TryAgain, reason
from app.cli.ask.service import Service
from app.infra.connection_errors import speaks_no_tls
from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent
from app.schemas import ChatRequest, Problem

CHAT = "/api/v1/chat"
FINAL_EVENTS = ("done", "error")

# Seconds without a byte after which a connection is abandoned: more than three heartbeats.
SILENCE_TIMEOUT = 30.0
# Seconds for stopping a turn, and then for its last events.
STOP_TIMEOUT = 3.0
PROBLEM_LIMIT = 1 << 16
# Bytes of a whole stream: several times as many as the longest answer has, token by token.
STREAM_LIMIT = 16 << 20

NO_KEY = "The service needs a key. Set CHRYSOPEDIA_KEY or --key-file."

_USAGE_ERRORS = (400, 401, 403, 413, 422)
# The options that correspond to the fields of a request.
_OPTIONS = {"/query": "The question", "/creator": "--creator", "/conversation_id": "--conversation"}
_TEMPORARY = (429, 502, 503, 504)
_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}")


class TurnClient:
    """Sends a question, which retries never ask twice, and yields the events of its answer.

    `service` is an http or https URL; `report` prints a message to the user. Raises AskFailed.
    """

    def __init__(
        self, service: str, request: ChatRequest, report: Callable[[str], None], *, key: str = ""
    ) -> None:
        self._body = _encode(request)
        self._turn_id = self._last_id = ""
        self._timeout = SILENCE_TIMEOUT
        self._backoff = Backoff(report)
        self._reached = self._ended = False
        self._left = STREAM_LIMIT
        self._service = Service(service, key)
        self._has_key = bool(key)
        self._headers = {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "Idempotency-Key": os.urandom(16).hex(),
        }

    def events(self) -> Iterator[SSEEvent]:
        """Yield the events that were not yielded yet, up to `done` or `error`."""
        while not self._ended:
            try:
                with self._open() as response:
                    decoder = SSEDecoder()
                    while data := response.read1(1 << 16):
                        self._backoff.reset()
                        self._left -= len(data)
                        if self._left < 0:
                            raise AskFailed("The service sent more than the longest answer has.")
                        for event in decoder.feed(data):
                            # Set before the yield: an event whose handling was interrupted counts.
                            self._last_id = event.id if _ID.fullmatch(event.id) else ""
                            self._ended = event.event in FINAL_EVENTS
                            yield event
                            if self._ended:
                                return
                problem: Exception = IncompleteRead(b"")
            except (TryAgain, HTTPException, OSError) as error:
                problem = error
            except BadEvent as error:
                raise AskFailed(f"The service sent what is not an answer: {error}.") from None
            self._backoff.wait(problem)

    def stop(self) -> None:
        """Stop the turn; `events` then yields its last events, if they arrive in time."""
        self._timeout = STOP_TIMEOUT
        self._backoff.set_patience(STOP_TIMEOUT)
        with suppress(AskFailed, HTTPException, OSError):
            if not self._turn_id:
                # A repeated request with the same Idempotency-Key returns the turn's id.
                with suppress(TryAgain):
                    self._open().close()
            if self._turn_id:
                self._send("DELETE", self._turn_id).close()

    def _open(self) -> Any:
        """Open the stream after the last event; raises like `_send`, and TryAgain."""
        resume = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            response = self._send("GET" if self._turn_id else "POST", self._turn_id, **resume)
        except HTTPError as rejection:
            with rejection:
                raise self._rejected(rejection) from None
        if response.headers.get_content_type() != "text/event-stream":
            raise self._not_the_service()
        self._turn_id = response.headers.get("X-Turn-Id", "")
        if self._turn_id and not _ID.fullmatch(self._turn_id):
            raise self._not_the_service()
        return response

    def _send(self, method: str, turn_id: str = "", **headers: str) -> Any:
        """Send a request and return the response; raises AskFailed, HTTPException, OSError."""
        path = f"{CHAT}/{turn_id}".rstrip("/")
        body = self._body if method == "POST" else None
        try:
            response = self._service.send(
                method, path, body, headers | self._headers, timeout=self._timeout
            )
        except HTTPError:
            self._reached = True
            raise
        except (URLError, HTTPException) as error:
            if self._reached or isinstance(error, ConnectionError):
                raise
            # The first request never reached the service: a retry would not either.
            if isinstance(error, HTTPException):
                raise self._not_the_service() from None
            advice = "Start it with `make run`, or choose another with --url."
            if isinstance(error.reason, SSLCertVerificationError):
                advice = "If it is self-signed, set SSL_CERT_FILE to its file."
            elif speaks_no_tls(error.reason):
                advice = "Try http://."
            raise AskFailed(
                f"No service can be reached at {self._service.name} ({reason(error)}). {advice}",
                ExitStatus.UNREACHABLE,
            ) from None
        self._reached = True
        return response

    def _rejected(self, rejection: HTTPError) -> Exception:
        message, status = rejection_message(rejection), rejection.code
        running = rejection.headers.get("Location", "").partition("?")[0].rpartition("/")[2]
        if status == 409 and _ID.fullmatch(running):
            # An earlier attempt has started the turn, which is still running.
            self._turn_id = running
            return TryAgain(message, 0)
        if status in _TEMPORARY:
            retry_after = rejection.headers.get("Retry-After", "")
            return TryAgain(message, int(retry_after) if _SECONDS.fullmatch(retry_after) else None)
        if self._turn_id:
            return AskFailed(f"The rest of the answer is lost. Ask again. ({message})")
        if status == 401 and not self._has_key:
            message = f"{NO_KEY} ({message})"
        usage_error = status in _USAGE_ERRORS
        return AskFailed(message, ExitStatus.USAGE_ERROR if usage_error else ExitStatus.FAILED)

    def _not_the_service(self) -> AskFailed:
        return AskFailed(f"The server at {self._service.name} is not Chrysopedia Chat.")


def _encode(request: ChatRequest) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError:
        # The arguments had bytes that are invalid in the terminal's encoding.
        raise AskFailed("The question must be UTF-8 text.", ExitStatus.USAGE_ERROR) from None


def rejection_message(rejection: HTTPError) -> str:
    """Return the message of the service, or the status line of a proxy."""
    with suppress(msgspec.DecodeError, RecursionError, OSError, HTTPException):
        problem = msgspec.json.decode(rejection.read(PROBLEM_LIMIT), type=Problem)
        fields = (f"{_OPTIONS.get(e.pointer, e.pointer)} {e.detail}." for e in problem.errors)
        return " ".join(fields) or problem.detail
    location = rejection.headers.get("Location")
    target = f", see {location}" if location else ""
    return f"{rejection.url} answered {rejection.code} {rejection.reason}{target}."
