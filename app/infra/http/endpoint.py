"""Parse http and https URLs into endpoints, and choose the proxy for an endpoint."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TypeAlias
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

from app import __version__

Origin: TypeAlias = tuple[bool, str, int]

_PORTS = {"http": 80, "https": 443}
# The characters of a path and a query that are not percent-encoded.
_SAFE = "/%:@!$&'()*+,;=~"
# Sent unless an endpoint has its own. Some firewalls reject requests without a User-Agent.
_DEFAULT_HEADERS: dict[str, str | None] = {
    "User-Agent": f"chrysopedia-chat/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


class Endpoint(Struct, frozen=True):
    """Where to send requests, and the header lines that they have in common.

    `basic_auth` is the Authorization value for the user and password of the URL, if it has any.
    """

    tls: bool
    host: str
    port: int
    target: str
    basic_auth: str
    headers: str = ""

    def __repr__(self) -> str:  # Keeps passwords and keys out of logs.
        return f"Endpoint(host={self.host!r}, port={self.port}, …)"

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str | None] | None = None) -> "Endpoint":
        """Parse a URL and format the headers; None leaves one out that would be sent by default.

        If names differ only in case, the last one counts. Raises ValueError, whose message contains
        neither.
        """
        host = ""
        with suppress(ValueError, KeyError):
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna").decode()
        if not host or not host.isprintable() or " " in host:
            raise ValueError("not an http or https URL")
        target = quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE + "?")
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic_auth = f"Basic {b64encode(login.encode()).decode()}" if login != ":" else ""
        fields = _DEFAULT_HEADERS | ({"Authorization": basic_auth} if basic_auth else {})
        fields |= headers or {}
        latest = {name.lower(): (name, value) for name, value in fields.items()}
        sent = [(name, value) for name, value in latest.values() if value is not None]
        if not all(text.isprintable() and text.isascii() for field in sent for text in field):
            raise ValueError("a header must be one line of ASCII")
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent)
        return cls(parts.scheme == "https", host, port, target, basic_auth, lines)

    @property
    def origin(self) -> Origin:
        """What requests must have in common to share a connection."""
        return self.tls, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port, as in a CONNECT request."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of the Host header: the default port is omitted."""
        return self.authority.removesuffix(f":{_PORTS['https' if self.tls else 'http']}")

    def redirect(self, location: str) -> "Endpoint | None":
        """Return the endpoint for the Location of a redirect.

        None if there is no location, or if it has another origin.
        """
        if not location:
            return None
        here = f"{'https' if self.tls else 'http'}://{self.authority}{self.target}"
        try:
            there = Endpoint.of(urljoin(here, location))
        except ValueError:
            return None
        return replace(self, target=there.target) if there.origin == self.origin else None


def api_url(base_url: str, path: str) -> str:
    """Return the URL of an API's path, such as "/embeddings".

    The base URL may include the path, and may have a query, which is kept. Raises ValueError if it
    is not a URL.
    """
    parts = urlsplit(base_url)
    base_path = parts.path.rstrip("/").removesuffix(path).rstrip("/")
    return urlunsplit(parts._replace(path=base_path + path, fragment=""))


def proxy_for(endpoint: Endpoint, proxies: Mapping[str, str]) -> Endpoint | None:
    """Return the proxy for an endpoint, None to connect directly.

    `proxies` maps "http", "https" and "all" to URLs, and "no" to a comma-separated list of
    addresses, networks and domains (with their subdomains) that no proxy is used for. Loopback
    addresses never use one. Raises ValueError if the proxy's URL is invalid.
    """
    url = proxies.get("https" if endpoint.tls else "http") or proxies.get("all")
    if not url or _bypasses_proxy(endpoint.host, proxies.get("no", "")):
        return None
    return Endpoint.of(url if "://" in url else f"http://{url}")


def _bypasses_proxy(host: str, no_proxy: str) -> bool:
    entries = [entry.strip().lstrip(".").lower() for entry in no_proxy.split(",")]
    try:
        address = ip_address(host)
    except ValueError:
        names = {"*", host, *(host[at + 1 :] for at, char in enumerate(host) if char == ".")}
        return host == "localhost" or not names.isdisjoint(entries)
    networks = []
    for entry in entries:
        with suppress(ValueError):
            networks.append(ip_network(entry, strict=False))
    return address.is_loopback or "*" in entries or any(address in net for net in networks)
