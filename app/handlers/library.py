"""The library's creators, and search without an answer."""

from starlette.requests import Request
from starlette.responses import Response

from app.bootstrap import State
from app.errors import Unprocessable
from app.handlers import access, codec
from app.limits import CREATOR_LIMIT
from app.schemas import ChatRequest, FieldError, Scope, SearchResult


async def creators(request: Request[State]) -> Response:
    """List the creators whose name starts with `prefix`."""
    caller = await access.admit(request, access.LIST_CREATORS)
    prefix = request.query_params.get("prefix", "")
    if len(prefix) > CREATOR_LIMIT or "\0" in prefix:
        detail = f"must have at most {CREATOR_LIMIT} characters and no NUL"
        raise Unprocessable(f"`prefix` {detail}.", errors=(FieldError("prefix", detail),))
    found = await request.state["limited_retriever"].creators(prefix, caller.creators)
    return codec.json_response(found)


async def search(request: Request[State]) -> Response:
    """Return the tier and the citations for the question `q`, without calling a model."""
    caller = await access.admit(request, access.SEARCH)
    parameters = request.query_params
    question = codec.validated(
        ChatRequest(parameters.get("q", ""), parameters.get("creator") or None), "q", "creator"
    )
    found = await request.state["limited_retriever"].search(
        question.query, question.creator, caller.creators
    )
    citations = tuple(source.citation for source in found.sources)
    scope = Scope(found.creator, found.question, found.tiers, found.matching)
    return codec.json_response(SearchResult(found.tier, scope, citations))
