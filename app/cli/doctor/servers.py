"""Where a server is: the part of its URL that may be shown."""

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
