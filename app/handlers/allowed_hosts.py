"""Refuse requests for unknown host names.

With DNS rebinding, a website makes its own name resolve to this machine, and a browser then treats
the service as part of that site. The request still names the site in its Host header.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Misdirected
from app.handlers.problems import problem_response
from app.host_names import HostList, host_of

# Rebinding needs a name, and nobody else can have these.
_ALWAYS = "localhost, *.localhost, 0.0.0.0/0, ::/0"


class AllowedHosts:
    """Serves requests whose Host is an address, a name of this machine, or in `allowed`.

    `own` is the name that the service listens on. A request without a Host, such as a load
    balancer's probe, is served too: browsers always send one.
    """

    def __init__(self, app: ASGIApp, *, allowed: str, own: str) -> None:
        self._app = app
        self._own = own.lower()
        self._hosts = HostList.of(f"{_ALWAYS}, {allowed}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 421."""
        if scope["type"] != "http" or all(
            self._is_allowed(value.decode("latin-1"))
            for name, value in scope["headers"]
            if name == b"host"
        ):
            await self._app(scope, receive, send)
            return
        response = problem_response(Request(scope), Misdirected())
        await response(scope, receive, send)

    def _is_allowed(self, authority: str) -> bool:
        host = host_of(authority)
        return not authority or host in self._hosts or host.lower() == self._own
