"""Conditional requests: 304 responses for clients that already have the current version."""

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse

from app.bootstrap import State


def etag(content: bytes) -> str:
    """Return a strong entity tag, with its quotes."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def conditional(request: Request[State], response: Response) -> Response:
    """Return `response`, which has an ETag, or a 304 if `If-None-Match` names that ETag."""
    given = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    if tags.isdisjoint((response.headers["ETag"], "*")):
        return response
    return NotModifiedResponse(response.headers)
