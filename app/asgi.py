"""Application factory: routes, middleware, error handlers and lifespan."""

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from app.bootstrap import State, services
from app.config import Settings
from app.errors import ChatError
from app.handlers import chat, codec, conversations, library, ops
from app.handlers.cross_origin import CrossOrigin
from app.handlers.openapi.api_docs import ApiDocs
from app.handlers.problems import problem_response
from app.handlers.site import NOT_INSTALLED, Site
from app.middleware import RequestContext

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> Starlette:
    """Build the application; without `settings`, read them from the environment."""
    site = Site.installed()
    settings = settings or Settings.from_environment(os.environ)
    cross_origin = [Middleware(CrossOrigin)] if settings.auth == "on" else []
    app = Starlette(
        routes=_routes(site, ApiDocs(settings.root_path)),
        middleware=[*cross_origin, Middleware(RequestContext)],
        exception_handlers={ChatError: problem_response, HTTPException: problem_response},
        lifespan=_lifespan(settings, site),
    )
    # A redirect would use the request's Host header, and clients drop the body when they follow it.
    app.router.redirect_slashes = False
    return app


def _routes(site: Site, api_docs: ApiDocs) -> list[BaseRoute]:
    return [
        Route("/", site.index, methods=["GET"], include_in_schema=False),
        Route("/static/{version}/{name:path}", site.file, methods=["GET"], include_in_schema=False),
        Route("/api/v1/chat", chat.Chat),
        Route("/api/v1/chat/{turn_id}", chat.Turn),
        Route("/api/v1/conversations/{conversation_id}", conversations.Conversation),
        Route("/api/v1/creators", library.creators, methods=["GET"]),
        Route("/api/v1/search", library.search, methods=["GET"]),
        Route("/healthz", ops.alive, methods=["GET"]),
        Route("/readyz", ops.ready, methods=["GET"]),
        Route("/metrics", ops.metrics, methods=["GET"]),
        Route("/openapi.json", api_docs.openapi, methods=["GET"]),
        Route("/docs", site.api_docs, methods=["GET"]),
    ]


def _lifespan(
    settings: Settings, site: Site
) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        if site.missing:
            log.warning(NOT_INSTALLED)
        async with services(
            settings, encode_lost=codec.lost_frame, shutdown_requested=lambda: AppStatus.should_exit
        ) as state:
            # The server drains the runner before it stops.
            app.state.runner = state["runner"]
            yield state

    return lifespan
