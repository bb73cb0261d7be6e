"""A request comes in; the OpenAPI document or its page goes out, made once and kept."""

from functools import cached_property
from hashlib import sha256
from importlib.resources import files

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.handlers.openapi.document import JSON, Example, document
from app.handlers.openapi.page import page

EXAMPLES = "examples.json"


class ApiDocs:
    """The description of the service; made when it is first asked for."""

    async def openapi(self, request: Request[State]) -> Response:
        """Give the document."""
        return self._json.reply(request)

    async def reference(self, request: Request[State]) -> Response:
        """Give the page."""
        return self._page.reply(request)

    @cached_property
    def document(self) -> JSON:
        """The OpenAPI document."""
        recorded = files(__package__).joinpath(EXAMPLES).read_bytes()
        return document(msgspec.json.decode(recorded, type=list[Example]))

    @cached_property
    def _json(self) -> "_Kept":
        return _kept(msgspec.json.encode(self.document), "application/json")

    @cached_property
    def _page(self) -> "_Kept":
        style = files(__package__).joinpath("page.css").read_text()
        text, policy = page(self.document, style)
        return _kept(text.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})


class _Kept(Struct, frozen=True):
    """A body that is the same for everyone, and what its replies say of it."""

    body: bytes
    headers: dict[str, str]

    def reply(self, request: Request[State]) -> Response:
        known = request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if not tags.isdisjoint((self.headers["ETag"], "*")):
            kept = {name: self.headers[name] for name in ("ETag", "Cache-Control")}
            return Response(status_code=304, headers=kept)
        return Response(self.body, headers=self.headers)


def _kept(body: bytes, media_type: str, headers: dict[str, str] | None = None) -> _Kept:
    own = {
        "Content-Type": media_type,
        # It may be kept, and is to be asked for each time: another version has another tag.
        "Cache-Control": "no-cache",
        "ETag": f'"{sha256(body).hexdigest()[:32]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return _Kept(body, own | (headers or {}))
