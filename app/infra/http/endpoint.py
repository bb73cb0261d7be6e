"""Addresses by http or https come in, proxies' among them; their parts go out. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

Origin: TypeAlias = tuple[bool, str, int]

_PORTS = {"http": 80, "https": 443}
# What a path and a query may hold as it is; the rest is escaped.
_PLAIN = "/%:@!$&'()*+,;=~"


class Endpoint(Struct, frozen=True):
    """Where requests go, and the header lines that each of them has.

    `user` is what the address has of a name and a password, as basic authentication wants them.
    """

    tls: bool
    host: str
    port: int
    target: str
    user: str
    headers: str = ""

    def __repr__(self) -> str:  # Neither a password nor a key is to reach a log.
        return f"Endpoint(host={self.host!r}, port={self.port}, …)"

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str] | None = None) -> "Endpoint":
        """Read an address and write its headers. Raises ValueError, which tells neither."""
        host = ""
        with suppress(ValueError, KeyError):
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna").decode()
        if not host or not host.isprintable() or " " in host:
            raise ValueError("this is no address of a server by http or https")
        target = quote(parts.path or "/", safe=_PLAIN)
        if parts.query:
            target += "?" + quote(parts.query, safe=_PLAIN + "?")
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        user = f"Basic {b64encode(pair.encode()).decode()}" if pair != ":" else ""
        lines = {"Authorization": user} if user else {}
        lines |= headers or {}
        if not all(
            line.isprintable() and line.isascii() for pair in lines.items() for line in pair
        ):
            raise ValueError("a header must be one line of ASCII")
        written = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return cls(parts.scheme == "https", host, port, target, user, written)

    @property
    def origin(self) -> Origin:
        """What requests must share to share a connection."""
        return self.tls, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT wants them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def named(self) -> str:
        """Host and port, as the header `Host` wants them: without the port that is usual."""
        return self.authority.removesuffix(f":{_PORTS['https' if self.tls else 'http']}")


def proxy_of(endpoint: Endpoint, proxies: Mapping[str, str]) -> Endpoint | None:
    """Return the proxy that leads there, None for the direct way, which this machine always has.

    `proxies` are addresses by "http", "https" and "all"; "no" lists by commas the names (with all
    below them), addresses and networks that none leads to. Raises ValueError.
    """
    url = proxies.get("https" if endpoint.tls else "http") or proxies.get("all")
    if not url or _direct(endpoint.host, proxies.get("no", "")):
        return None
    return Endpoint.of(url if "://" in url else f"http://{url}")


def _direct(host: str, listed: str) -> bool:
    entries = [entry.strip().lstrip(".").lower() for entry in listed.split(",")]
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
