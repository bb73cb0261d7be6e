"""A question comes in; the events of its answer go out, each once, whatever connections do.

By the standard library's client, which is there in a fraction of the time that others take to
import. It knows the proxies of the environment, but none leads to this machine itself.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, IncompleteRead
from ssl import SSLError
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener, getproxies

import msgspec

from app import __version__
from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.cli.ask.retry import Tries, TryAgain, reason
from app.infra.http.endpoint import Endpoint, proxy_for
from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent
from app.schemas import ChatRequest, Problem

CHAT = "/api/v1/chat"
LAST_EVENTS = ("done", "error")

# Seconds without a byte after which a connection is given up: two of the service's heartbeats.
SILENCE = 30.0
# Seconds that are left for a turn to be stopped, and then for what it says to that.
STOPPING = 3.0
PROBLEM_LIMIT = 1 << 16

_MISUSE = (400, 413, 422)
# What the fields of a request are called here.
_NAMES = {"/query": "The question", "/creator": "--creator", "/conversation_id": "--conversation"}
_NOT_NOW = (429, 502, 503, 504)


class AskedTurn:
    """A question, asked once however often it is sent, and the answer to it.

    `service` is an address by http or https; `tell` is given what a person who waits wants to
    know. Raises AskFailed.
    """

    def __init__(self, service: str, request: ChatRequest, tell: Callable[[str], None]) -> None:
        self._body = _encoded(request)
        self._turn_id = self._last_id = ""
        self._silence = SILENCE
        self._tries = Tries(tell)
        self._reached = self._ended = False
        endpoint = _endpoint(service)
        self._service = f"{'https' if endpoint.tls else 'http'}://{endpoint.host_header}"
        self._path = endpoint.target.partition("?")[0].rstrip("/") + CHAT
        self._headers = {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "Idempotency-Key": os.urandom(16).hex(),
            "User-Agent": f"chrysopedia-chat/{__version__}",
        }
        if endpoint.basic_auth:
            self._headers["Authorization"] = endpoint.basic_auth
        self._opener = build_opener(_proxies(endpoint), _NoRedirects)

    def events(self) -> Iterator[SSEEvent]:
        """Yield the events that were not taken yet, up to `done` or `error`; raises AskFailed."""
        while not self._ended:
            try:
                with self._open() as reply:
                    decoder = SSEDecoder()
                    while data := reply.read1(1 << 16):
                        self._tries.succeeded()
                        for event in decoder.feed(data):
                            # Before it is given away: who is interrupted with it, has it.
                            self._last_id = event.id
                            self._ended = event.event in LAST_EVENTS
                            yield event
                            if self._ended:
                                return
                problem: Exception = IncompleteRead(b"")
            except (TryAgain, HTTPException, OSError, BadEvent) as error:
                problem = error
            self._tries.wait(problem)

    def stop(self) -> None:
        """Have the service stop the turn: the rest of its events comes soon, or not at all."""
        self._silence = STOPPING
        self._tries.hurry(STOPPING)
        with suppress(AskFailed, HTTPException, OSError):
            if not self._turn_id:
                # The key tells which turn it is, if it has begun.
                with suppress(TryAgain):
                    self._open().close()
            if self._turn_id:
                self._send("DELETE", self._turn_id).close()

    def _open(self) -> Any:
        """Open the stream where it was left; raises as `_send` does, and TryAgain."""
        after = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            reply = self._send("GET" if self._turn_id else "POST", self._turn_id, **after)
        except HTTPError as refusal:
            with refusal:
                raise self._refused(refusal) from None
        if reply.headers.get_content_type() != "text/event-stream":
            raise self._no_service()
        self._turn_id = reply.headers.get("X-Turn-Id", "")
        return reply

    def _send(self, method: str, turn_id: str = "", **headers: str) -> Any:
        """Send a request and return the reply; raises AskFailed, HTTPException, OSError."""
        address = f"{self._service}{self._path}/{turn_id}".rstrip("/")
        body = self._body if method == "POST" else None
        headers |= self._headers
        request = Request(address, body, headers, method=method)  # noqa: S310 - only http(s)
        try:
            reply = self._opener.open(request, timeout=self._silence)
        except HTTPError:
            self._reached = True
            raise
        except (URLError, HTTPException) as error:
            if self._reached or isinstance(error, ConnectionError):
                raise
            # To come back later would be for nothing.
            if isinstance(error, HTTPException):
                raise self._no_service() from None
            if isinstance(error.reason, SSLError):
                raise AskFailed(
                    f"{self._service} cannot be trusted ({reason(error)}). Where its certificate "
                    "is its own, name that file in SSL_CERT_FILE.",
                    ExitStatus.UNREACHABLE,
                ) from None
            raise AskFailed(
                f"No service answers at {self._service} ({reason(error)}). Start it with "
                "`make run`, or name another with --url.",
                ExitStatus.UNREACHABLE,
            ) from None
        self._reached = True
        return reply

    def _refused(self, refusal: HTTPError) -> Exception:
        """Tell what becomes of a reply that is no stream."""
        words, status = _words(refusal), refusal.code
        running = refusal.headers.get("Location", "").rpartition("/")[2]
        if status == 409 and running:
            # The question was sent before, and is being answered.
            self._turn_id = running
            return TryAgain(words, 0)
        if status in _NOT_NOW:
            after = refusal.headers.get("Retry-After", "")
            return TryAgain(words, int(after) if after.isdecimal() else None)
        if self._turn_id:
            return AskFailed(f"The rest of the answer is lost. Ask again. ({words})")
        return AskFailed(words, ExitStatus.MISUSED if status in _MISUSE else ExitStatus.FAILED)

    def _no_service(self) -> AskFailed:
        return AskFailed(f"What answers at {self._service} is no Chrysopedia Chat.")


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: a question that does would lose its body."""

    def redirect_request(self, *_: object) -> None:
        """Return no other request."""


def _endpoint(service: str) -> Endpoint:
    try:
        return Endpoint.of(service if "://" in service else f"http://{service}")
    except ValueError as error:
        raise AskFailed(f"--url or CHRYSOPEDIA_URL: {error}", ExitStatus.MISUSED) from None


def _proxies(endpoint: Endpoint) -> ProxyHandler:
    """Have the environment's proxies used on the way there, or none."""
    try:
        proxy = proxy_for(endpoint, getproxies())
    except ValueError as error:
        raise AskFailed(f"HTTP_PROXY or HTTPS_PROXY: {error}", ExitStatus.MISUSED) from None
    return ProxyHandler(None if proxy else {})


def _encoded(request: ChatRequest) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError:
        # Bytes that the terminal's encoding could make nothing of.
        raise AskFailed("The question must be text in UTF-8.", ExitStatus.MISUSED) from None


def _words(refusal: HTTPError) -> str:
    """Return the service's own words, or what the status line of a proxy says."""
    with suppress(msgspec.DecodeError, OSError, HTTPException):
        problem = msgspec.json.decode(refusal.read(PROBLEM_LIMIT), type=Problem)
        named = (f"{_NAMES.get(it.pointer, it.pointer)} {it.detail}." for it in problem.errors)
        return " ".join(named) or problem.detail
    where = f", see {moved}" if (moved := refusal.headers.get("Location")) else ""
    return f"{refusal.url} says {refusal.code} {refusal.reason}{where}."
