"""Serves the OpenAPI document."""

from functools import cached_property
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.handlers.caching import conditional, etag
from app.handlers.openapi.document import Example, build_document

EXAMPLES = "examples.json"


class ApiDocs:
    """The OpenAPI document, built on first use."""

    def __init__(self, root_path: str) -> None:
        self._root_path = root_path

    async def openapi(self, request: Request[State]) -> Response:
        """Return the document as JSON."""
        headers = {"Cache-Control": "no-cache", "ETag": etag(self._body)}
        response = Response(self._body, headers=headers, media_type="application/json")
        return conditional(request, response)

    @cached_property
    def _body(self) -> bytes:
        recorded = files(__package__).joinpath(EXAMPLES).read_bytes()
        examples = msgspec.json.decode(recorded, type=list[Example])
        return msgspec.json.encode(build_document(examples, self._root_path))
