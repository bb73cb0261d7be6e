"""Parse, check and mask the values of settings."""

import math
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeAlias, get_args
from urllib.parse import urlsplit

import msgspec

from app.host_names import HostList, is_loopback

Headers: TypeAlias = dict[str, str | None]
Body: TypeAlias = dict[str, Any]
Network: TypeAlias = IPv4Network | IPv6Network

_JSON_EXAMPLES = {Headers | None: '{"X-Title": "Chat"}', Body | None: '{"top_p": 0.9}'}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf", re.ASCII | re.IGNORECASE)
_SECRETS_IN_URL = re.compile(r"(?<=://).*@|(?<=password=)[^&]*|(?<=key=)[^&]*|(?<=token=)[^&]*")
_QUOTES = re.compile("[\"'“”‘’]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Headers and members of the body that the client itself sets for each request.
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection"}
_OWN_MEMBERS = {"model", "messages"}
# Ends of URLs of other APIs; "/chat/completions" is the right one.
_OTHER_API = re.compile(r"((?<!/chat)/completions|/responses|/messages|/models)/*$")


class SettingsError(ValueError):
    """An environment variable has an invalid value; the message names it and the problem."""


def parse(name: str, text: str, hint: object) -> object:
    """Parse the text of a number or of JSON; return other settings' texts as they are."""
    for json_hint, example in _JSON_EXAMPLES.items():
        if hint == json_hint:
            return _parse_json(name, text, hint, example)
    kinds = {int: "a whole number", float: "a number"}
    kind = next((one for one in kinds if one in (hint, *get_args(hint))), None)
    if kind is None:
        return text
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if math.isnan(number) or (kind is int and not number.is_integer()):
        raise SettingsError(f"{name.upper()}: must be {kinds[kind]}")
    return kind(number)


def _parse_json(name: str, text: str, hint: Any, example: str) -> object:
    try:
        if not text.startswith("{"):
            raise msgspec.DecodeError
        return msgspec.json.decode(text, type=hint)
    except (msgspec.DecodeError, RecursionError):
        raise SettingsError(f"{name.upper()}: must be JSON such as {example}") from None


def parse_path(_: type, text: str) -> Path:
    """Parse a path. Raises ValueError if it begins with an unknown user's home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise ValueError(f"must be a folder, but {user} is not a user's home directory") from None


def parse_networks(name: str, text: str) -> list[Network]:
    """Parse addresses and networks that are separated by commas. Raises SettingsError."""
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SettingsError(
            f"{name.upper()}: must be addresses or networks such as 10.0.0.10 or 10.0.0.0/8,"
            " separated by commas"
        ) from None


def explain(reason: str, hint: object) -> str:
    """Rewrite msgspec's message about a setting's value in plain terms."""
    if bound := re.fullmatch(r"Expected `.+` ([<>]=? -?\d+)(?:\.0)?", reason):
        return f"must be {bound[1]}"
    # Those of an optional setting are one level deeper.
    if choices := [text for one in get_args(hint) for text in (get_args(one) or [one])]:
        return f"must be one of {', '.join(text for text in choices if isinstance(text, str))}"
    return reason


def masked(name: str, value: object) -> object:
    """Return a value as it may be shown, without secrets."""
    if name.endswith(("api_key", "headers", "extra_body")):
        return "***" if value else value
    if isinstance(value, str):
        return _SECRETS_IN_URL.sub(lambda found: "***@" if found[0].endswith("@") else "***", value)
    return value


def check_url(name: str, url: str) -> None:
    """Check the base URL of an API, which may be empty. Raises SettingsError."""
    if not url:
        return
    if _QUOTES.match(url):
        raise SettingsError(f"{name.upper()}: remove the quotation marks around it")
    if not _is_http_url(url):
        raise SettingsError(
            f"{name.upper()}: must be a URL with a host that begins with http:// or https://"
        )
    if other := _OTHER_API.search(urlsplit(url).path):
        raise SettingsError(f"{name.upper()}: remove {other[1]}, the path of another API")


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and bool(re.fullmatch("[!-~]+", host))


def check_hosts(name: str, text: str) -> None:
    """Check a list of hosts, which may be empty. Raises SettingsError."""
    try:
        HostList.of(text)
    except ValueError as error:
        raise SettingsError(
            f"{name.upper()}: must be host names, separated by commas, but {error}"
        ) from None


def check_key(name: str, key: str) -> None:
    """Check a key, which may be empty. Raises SettingsError."""
    if _QUOTES.match(key):
        raise SettingsError(f"{name.upper()}: remove the quotation marks around it")
    if not _fits_header(key):
        raise SettingsError(f"{name.upper()}: must be one line of ASCII characters")


def check_jwks_url(name: str, url: str) -> None:
    """Check the URL of public keys, which may be empty. Raises SettingsError."""
    if not url:
        return
    if not _is_http_url(url):
        raise SettingsError(f"{name.upper()}: must be a URL with a host that begins with https://")
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            f"{name.upper()}: must begin with https://, since whoever can change the keys on their"
            " way can sign tokens"
        )


def check_header_name(name: str, header: str) -> None:
    """Check the name of a header, which may be empty. Raises SettingsError."""
    if header and not _HEADER_NAME.fullmatch(header):
        raise SettingsError(f"{name.upper()}: must be the name of a header, such as X-Remote-User")


def check_headers(name: str, headers: Headers | None) -> None:
    """Check headers to add. Raises SettingsError."""
    for header, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(header) or not _fits_header(value or ""):
            raise SettingsError(
                f"{name.upper()}: names must be names of HTTP headers, and values one line of"
                " ASCII characters"
            )
        if header.lower() in _OWN_HEADERS:
            raise SettingsError(f"{name.upper()}: remove {header}, which is set for each request")


def check_body(name: str, body: Body | None) -> None:
    """Check members to add to a body. Raises SettingsError."""
    for member in sorted(_OWN_MEMBERS & (body or {}).keys()):
        raise SettingsError(f"{name.upper()}: remove {member}, which is set for each request")


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
