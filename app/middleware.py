"""Request ids, trace context, the access log, headers of every response, and unexpected errors.

Pure ASGI: a middleware that runs the application in another task hides disconnects.
"""

import logging
import re
import secrets
from collections.abc import Awaitable
from time import perf_counter

from sse_starlette.sse import SendTimeoutError
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import tracing
from app.errors import ChatError
from app.handlers.access import HEADERS
from app.handlers.problems import problem_response
from app.limits import REQUEST_ID
from app.logs import request_id, shortened_path
from app.services.streams import ReconnectElsewhere

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(REQUEST_ID.encode())


class RequestContext:
    """Gives each request an id (a valid `X-Request-Id` or a new one) and a trace, and logs it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = _request_id(scope)
        id_token = request_id.set(own_id)
        trace_token = tracing.current.set(tracing.continue_trace(scope["headers"]))
        status = 0
        started = perf_counter()

        # Not `async`: a coroutine per token would cost another 1,000 instructions.
        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", own_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    *scope.get(HEADERS, ()),
                ]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except SendTimeoutError:
            log.warning("viewer disconnected: it stopped reading")
        except ReconnectElsewhere:
            # The response gets no final chunk, so that no client takes it for a complete stream.
            log.info("viewer disconnected: it must resume on another worker")
        except ClientDisconnect:
            log.info("client disconnected before its request was complete")
        except Exception:
            log.exception("unhandled error")
            if status == 0:
                error = ChatError("An internal error occurred. Try again in a moment.")
                response = problem_response(Request(scope), error)
                await response(scope, receive, send_with_id)
        finally:
            milliseconds = (perf_counter() - started) * 1_000
            # The query string may contain a question, and a decoded path may contain line breaks.
            path = shortened_path(scope["raw_path"].decode("latin-1"))
            log.info("%s %s %d %.0f ms", scope["method"], path, status, milliseconds)
            tracing.current.reset(trace_token)
            request_id.reset(id_token)


def _request_id(scope: Scope) -> str:
    given: bytes = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
