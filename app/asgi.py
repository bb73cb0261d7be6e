"""Application factory: routes, middleware, error handling and lifespan."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.bootstrap import State, services
from app.config import Settings
from app.errors import ChatError
from app.handlers import chat, codec, conversations, library, ops, site
from app.handlers.openapi import ApiDocs
from app.middleware import RequestContext
from app.schemas import Problem

log = logging.getLogger(__name__)

API = "/api/v1"


def create_app(settings: Settings | None = None) -> Starlette:
    """Build the application; without settings they are read from the environment."""
    chosen = settings or Settings.from_environment(os.environ)
    pages = site.installed()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        if pages.missing:
            log.warning(site.NOT_INSTALLED)
        async with services(
            chosen,
            encode=codec.frame,
            encode_lost=codec.lost_frame,
            shutdown_requested=lambda: AppStatus.should_exit,
        ) as state:
            # For the server around the application, which tells it of its end.
            app.state.runner = state["runner"]
            yield state

    api_docs = ApiDocs()
    app = Starlette(
        routes=[
            Route("/", pages.index, methods=["GET"], include_in_schema=False),
            Route(
                "/static/{version}/{name:path}",
                pages.file,
                methods=["GET"],
                include_in_schema=False,
            ),
            Route(f"{API}/chat", chat.ask, methods=["POST"]),
            Route(f"{API}/chat/{{turn_id}}", chat.Turn),
            Route(f"{API}/conversations/{{conversation_id}}", conversations.Conversation),
            Route(f"{API}/creators", library.index, methods=["GET"]),
            Route(f"{API}/search", library.search, methods=["GET"]),
            Route("/healthz", ops.alive, methods=["GET"]),
            Route("/readyz", ops.ready, methods=["GET"]),
            Route("/metrics", ops.metrics, methods=["GET"]),
            Route("/openapi.json", api_docs.openapi, methods=["GET"]),
            Route("/docs", pages.api_docs, methods=["GET"]),
        ],
        middleware=[Middleware(RequestContext)],
        exception_handlers={ChatError: _problem, HTTPException: _problem},
        lifespan=lifespan,
    )
    # A redirect would name the host that the request claims, and clients lose the body on it.
    app.router.redirect_slashes = False
    return app


def _problem(request: Request, error: Exception) -> Response:
    """Tell of an error of ours, or of what Starlette itself refuses, such as an unknown path."""
    match error:
        case ChatError():
            request.state["metrics"].refused(error.slug)
            return codec.problem_response(error.problem(), error.headers)
        case HTTPException(status_code=status, detail=title):
            detail = f"{request.method} {request.url.path} is not served. See /docs."
            problem = Problem(type="about:blank", title=title, status=status, detail=detail)
            return codec.problem_response(problem, error.headers)
    raise error
