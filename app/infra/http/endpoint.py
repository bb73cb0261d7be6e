"""Parse http and https URLs into endpoints, and choose the proxy for an endpoint."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

Origin: TypeAlias = tuple[bool, str, int]

_PORTS = {"http": 80, "https": 443}
# The characters of a path and a query that are not percent-encoded.
_SAFE = "/%:@!$&'()*+,;=~"


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
    def of(cls, url: str, headers: Mapping[str, str] | None = None) -> "Endpoint":
        """Parse a URL and format the headers.

        Raises ValueError, whose message contains neither.
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
        fields = {"Authorization": basic_auth} if basic_auth else {}
        fields |= headers or {}
        if not all(
            text.isprintable() and text.isascii() for field in fields.items() for text in field
        ):
            raise ValueError("a header must be one line of ASCII")
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
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
