"""Where a server is: the part of its URL that may be shown, and whether it is on this machine."""

from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit


def location(url: str) -> str:
    """Return the hosts and ports of a URL, or the path of its socket, without user and password."""
    rest = url.partition("://")[2]
    authority = rest.partition("?")[0].partition("/")[0]
    if "@" in rest[len(authority) :]:
        # What looks like the host may be part of a password that is not percent-encoded.
        return "the URL"
    if host := authority.rpartition("@")[2]:
        return host
    query = parse_qs(rest.partition("?")[2])
    if "host" in query:
        return query["host"][0]
    if url.startswith("unix:"):
        return unquote(urlsplit(url).path)
    return "this machine"


def is_local(url: str) -> bool:
    """Return whether a URL's hosts are this machine, so that TLS would protect nothing."""
    if url.startswith("unix:"):
        return True
    return all(_is_local_host(_host(one)) for one in location(url).split(","))


def _host(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _is_local_host(host: str) -> bool:
    if host in ("", "localhost", "this machine") or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
