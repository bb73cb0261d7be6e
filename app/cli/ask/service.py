"""Send requests to a running service, through the proxies of the environment."""

from collections.abc import Mapping
from typing import Any
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener, getproxies

from app import __version__
from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.host_names import is_loopback
from app.infra.http.endpoint import Endpoint, proxy_for


class Service:
    """A service at an http or https URL, with a key if it needs one; `name` has no path.

    Raises AskFailed if the URL, or that of a proxy, is invalid, and if others could read the key.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.endpoint = endpoint = _parse(url)
        self.name = f"{'https' if endpoint.tls else 'http'}://{endpoint.host_header}"
        self.url = self.name + endpoint.target.partition("?")[0].rstrip("/")
        self._headers = {"User-Agent": f"chrysopedia-chat/{__version__}"}
        if endpoint.basic_auth:
            self._headers["Authorization"] = endpoint.basic_auth
        if key:
            _check_protected(endpoint)
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = build_opener(_proxy_handler(endpoint), _NoRedirects)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
    ) -> Any:
        """Return the response; `timeout` is for each wait. Raises HTTPException and OSError.

        HTTPError, an OSError, is any status but 2xx: redirects are not followed.
        """
        request = Request(  # noqa: S310 - only http(s)
            self.url + path, body, {**self._headers, **(headers or {})}, method=method
        )
        return self._opener.open(request, timeout=timeout)


class _NoRedirects(HTTPRedirectHandler):
    """Rejects redirects: a redirected POST would lose its body."""

    def redirect_request(self, *_: object) -> None:
        """Return None, which rejects the redirect."""


def _parse(url: str) -> Endpoint:
    try:
        return Endpoint.of(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise AskFailed(f"--url or CHRYSOPEDIA_URL: {error}", ExitStatus.USAGE_ERROR) from None


def _check_protected(endpoint: Endpoint) -> None:
    """Raise AskFailed if a key would be sent unencrypted, or beside a password."""
    if endpoint.basic_auth:
        problem = "--url must not have a name and password if there is a key."
    elif not endpoint.tls and not is_loopback(endpoint.host):
        problem = "The key is not sent unencrypted: use https://, or a tunnel to 127.0.0.1."
    else:
        return
    raise AskFailed(problem, ExitStatus.USAGE_ERROR)


def _proxy_handler(endpoint: Endpoint) -> ProxyHandler:
    """Return a handler that uses the proxies of the environment if they apply to the endpoint."""
    try:
        proxy = proxy_for(endpoint, getproxies())
    except ValueError as error:
        raise AskFailed(f"HTTP_PROXY or HTTPS_PROXY: {error}", ExitStatus.USAGE_ERROR) from None
    return ProxyHandler(None if proxy else {})
