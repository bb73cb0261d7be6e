"""CORS: lets web pages on the keys' origins call the API. Pure ASGI."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable

# Pages on other sites may call these paths only.
PREFIX = "/api/"
# Seconds: the most that Chromium allows.
PREFLIGHT_MAX_AGE = 7200
METHODS = "GET, POST, PUT, DELETE"
REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id, traceparent"
)
RESPONSE_HEADERS = (
    "X-Turn-Id, X-Conversation-Id, Retry-After, RateLimit, RateLimit-Policy, Location"
)

_ASKED = (b"origin", b"access-control-request-method")
_VARY = (b"vary", b"Origin")
_EXPOSE = (b"access-control-expose-headers", RESPONSE_HEADERS.encode())
_PREFLIGHT = [
    (b"access-control-allow-methods", METHODS.encode()),
    (b"access-control-allow-headers", REQUEST_HEADERS.encode()),
    (b"access-control-max-age", str(PREFLIGHT_MAX_AGE).encode()),
]


class CrossOrigin:
    """Answers preflight requests, and adds the headers that let a page read a response.

    Cookies are never allowed: pages on other sites identify themselves by a key or token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        api = scope.get("root_path", "") + PREFIX
        if scope["type"] != "http" or not scope["path"].startswith(api):
            await self._app(scope, receive, send)
            return
        asked = {name: value for name, value in scope["headers"] if name in _ASKED}
        origin = asked.get(b"origin", b"")
        added = [_VARY]
        if origin and await _is_allowed(scope, origin):
            added.append((b"access-control-allow-origin", origin))
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
                headers = [*added, *_PREFLIGHT]
                await send({"type": "http.response.start", "status": 204, "headers": headers})
                await send({"type": "http.response.body"})
                return
            added.append(_EXPOSE)

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            return send(message)

        await self._app(scope, receive, send_with_headers)


async def _is_allowed(scope: Scope, origin: bytes) -> bool:
    try:
        return origin.decode("latin-1") in await scope["state"]["active_keys"].origins()
    except Unavailable:
        return False
