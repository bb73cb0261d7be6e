"""What is in the library: creators for a picker, and the search on its own."""

from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import Unprocessable
from app.handlers import codec
from app.limits import CREATOR_LIMIT
from app.schemas import ChatRequest, FieldError, Scope, SearchResult


async def index(request: Request[State]) -> Response:
    """List the creators whose name begins with `prefix`."""
    prefix = request.query_params.get("prefix", "")
    if len(prefix) > CREATOR_LIMIT or "\0" in prefix:
        detail = f"must have at most {CREATOR_LIMIT} characters and no NUL"
        raise Unprocessable(f"prefix: {detail}", errors=(FieldError("prefix", detail),))
    return codec.json_response(await request.state["retriever"].creators(prefix))


async def search(request: Request[State]) -> Response:
    """Give the tier and the citations for `q`, by `creator` where one is named; no model."""
    given = request.query_params
    asked = codec.checked(
        ChatRequest(given.get("q", ""), given.get("creator") or None), "q", "creator"
    )
    found = await request.state["retriever"].search(asked.query, asked.creator)
    citations = tuple(source.citation for source in found.sources)
    scope = Scope(found.creator, asked.query, found.tiers, found.matching)
    return codec.json_response(SearchResult(found.tier, scope, citations))
