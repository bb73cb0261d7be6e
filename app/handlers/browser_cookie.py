"""The cookie that gives each browser of the page a subject of its own."""

from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import Forbidden
from app.services.access.browsers import LIFETIME

NAME = "chrysopedia"
_WRONG_ORIGIN = (
    "Origin and Host name different hosts. If the page sent this request, a proxy has changed Host:"
    " let it pass on the original one."
)


def read(request: Request[State]) -> str:
    """Return the cookie, "" if there is none or another site's page sent it; raises Forbidden.

    SameSite=Strict keeps other sites from sending it. This also excludes other hosts of the same
    site.
    """
    cookie = request.cookies.get(_name(request), "")
    site = request.headers.get("sec-fetch-site")
    if not cookie or site:
        return cookie if site in ("same-origin", "none") else ""
    # Over plain HTTP browsers do not send Sec-Fetch-Site, but Origin with all unsafe methods.
    origin = request.headers.get("origin")
    if origin and request.method not in ("GET", "HEAD") and _host(origin) != _own_host(request):
        raise Forbidden(_WRONG_ORIGIN)
    return cookie


def renew(request: Request[State], response: Response) -> None:
    """Set the cookie if the browser has none that is valid, or an old one.

    A browser that follows a link from another site does not send the cookie, so the response must
    not replace it. Once the page is loaded, it sends a request of its own.
    """
    browsers = request.state["browsers"]
    site, referer = request.headers.get("sec-fetch-site"), request.headers.get("referer")
    elsewhere = referer is not None and _host(referer) != _own_host(request)
    if browsers is None or site == "cross-site" or (site is None and elsewhere):
        return
    cookie = browsers.renewed(request.cookies.get(_name(request), ""))
    if cookie:
        response.set_cookie(
            _name(request),
            cookie,
            max_age=LIFETIME,
            path=request.scope.get("root_path") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


def _name(request: Request[State]) -> str:
    # Browsers accept these names only from this very host over TLS.
    if request.url.scheme != "https":
        return NAME
    return f"__Secure-{NAME}" if request.scope.get("root_path") else f"__Host-{NAME}"


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()


def _own_host(request: Request[State]) -> str:
    return request.headers.get("host", "").lower()
