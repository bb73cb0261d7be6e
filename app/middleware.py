"""Every request passes here: it gets an id and a trace, its end is logged, what breaks is caught.

Pure ASGI: a middleware that ran the application in another task would hide disconnects.
"""

import logging
import re
import secrets
from time import perf_counter

from sse_starlette.sse import SendTimeoutError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import tracing
from app.errors import ChatError
from app.handlers.codec import problem_response
from app.handlers.sse_response import STRAIGHT
from app.limits import REQUEST_ID
from app.logs import request_id
from app.services.streams import ReconnectElsewhere

log = logging.getLogger(__name__)

_GIVEN_ID = re.compile(REQUEST_ID.encode())


class RequestContext:
    """Names each request: by its `X-Request-Id` where that is harmless, else by a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        name = (given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(16).encode()).decode()
        token = request_id.set(name)
        trace = tracing.current.set(tracing.continue_trace(scope["headers"]))
        status = 0
        began = perf_counter()
        scope[STRAIGHT] = send

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except SendTimeoutError:
            log.warning("a viewer did not read and was cut off")
        except ReconnectElsewhere:
            # The reply stays without its end, so that no client takes it for a whole one.
            log.info("a viewer was sent away, to another worker")
        except ClientDisconnect:
            log.info("a client went away in the middle of its request")
        except Exception:
            log.exception("a request broke")
            if status == 0:
                broken = ChatError("This is a fault of ours. Try again in a moment.")
                scope["state"]["metrics"].refused(broken.slug)
                await problem_response(broken.problem())(scope, receive, send_named)
        finally:
            took = (perf_counter() - began) * 1_000
            # Without the query string, which may hold a question; and as it was sent, since what
            # it decodes to may hold line ends.
            path = scope["raw_path"].decode("latin-1")
            log.info("%s %s %d %.0f ms", scope["method"], path, status, took)
            tracing.current.reset(trace)
            request_id.reset(token)
