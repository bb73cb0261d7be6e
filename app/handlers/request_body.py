"""Reads the JSON body of a request."""

import asyncio
import re

import msgspec
from starlette.requests import Request

from app.bootstrap import State
from app.errors import BadRequest, BodyTooLarge, BodyTooSlow, LengthRequired, UnsupportedMediaType
from app.limits import BODY_LIMIT
from app.schemas import ChatRequest

_BOM = "\ufeff".encode()
# A pair of surrogates is one character; a lone one, from a text cut in the middle of a pair, is
# none. The last alternative skips other escapes, such as that of a backslash before a `u`.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)


async def read_body(request: Request[State]) -> bytes:
    """Return the body, which is announced as JSON; raises a ChatError."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send a JSON body with `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" not in request.headers:
        raise LengthRequired("Send a JSON body with a Content-Length.")
    too_large = BodyTooLarge(f"Request body must be at most {BODY_LIMIT} bytes.")
    if length is not None and length.isdecimal() and int(length) > BODY_LIMIT:
        raise too_large
    timeout = request.state["settings"].body_timeout
    body = b""
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise too_large
    except TimeoutError:
        raise BodyTooSlow(f"Send the whole request body within {timeout:g} seconds.") from None
    return body


def decode(body: bytes) -> ChatRequest:
    """Decode a body; raises BadRequest, and msgspec's ValidationError for a field.

    A byte order mark is skipped, and escapes of lone surrogates are replaced by U+FFFD.
    """
    body = body.removeprefix(_BOM)
    try:
        return msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    if not _is_utf8(body):
        raise BadRequest("Request body must be encoded as UTF-8.")
    try:
        repaired = _ESCAPE.sub(lambda found: rb"\ufffd" if found["lone"] else found[0], body)
        return msgspec.json.decode(repaired, type=ChatRequest)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        raise BadRequest(
            "Request body is not valid JSON. Send an object such as "
            '{"query": "How do I side-chain the bass?"}.'
        ) from None


def _is_utf8(body: bytes) -> bool:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    # JSON never contains NUL; UTF-16 and UTF-32 contain it beside each ASCII character.
    return "\0" not in text
