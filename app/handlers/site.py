"""The static files, and the two HTML pages that use them: the chat at `/` and `/docs`.

The path of a static file contains a digest of all files, so browsers may cache it for a year. The
HTML pages are revalidated on every request.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from app.bootstrap import State
from app.errors import NotFound
from app.handlers.caching import conditional, etag

# Installed from npm by `make page`; see vendor/package.json.
CHAT_LIBRARIES = ("vendor/dompurify.js", "vendor/marked.js")
API_DOCS_LIBRARIES = ("vendor/swagger-ui.css", "vendor/swagger-ui.js")
NOT_INSTALLED = (
    "The page's JavaScript libraries are not installed. Run `make page`, then restart the service."
    " The API works without them; it is described at /openapi.json."
)

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_NO_MODULEPRELOAD = ("api-docs.js", "vendor/swagger-ui.js")
_SAME_ORIGIN = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
# Only DOMPurify may turn strings into HTML.
_CHAT_POLICY = (
    *_SAME_ORIGIN,
    "img-src 'self'",
    "frame-src https://www.youtube-nocookie.com https://player.vimeo.com",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
)
# Swagger UI's style sheet has its icons as data URLs.
_API_DOCS_POLICY = (*_SAME_ORIGIN, "img-src 'self' data:")
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_IMMUTABLE = "public, max-age=31536000, immutable"


class StaticFile(Struct, frozen=True):
    """A file of the site; `etag` includes its quotes."""

    path: Path
    media_type: str
    etag: str


class Site:
    """The files in `folder`. `missing` names the libraries that are not installed."""

    def __init__(self, folder: Path) -> None:
        contents = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted((*folder.glob("*.*"), *folder.glob("vendor/*.*")))
            if path.suffix in _MEDIA_TYPES
        }
        digest = hashlib.sha256()
        for content in contents.values():
            digest.update(content)
        self.version = digest.hexdigest()[:16]
        self.missing = tuple(
            name for name in (*CHAT_LIBRARIES, *API_DOCS_LIBRARIES) if name not in contents
        )
        self._files = {
            name: StaticFile(folder / name, _MEDIA_TYPES[Path(name).suffix], etag(content))
            for name, content in contents.items()
        }
        self._index = self._render(folder / "index.html")
        self._api_docs = self._render(folder / "api-docs.html")

    @classmethod
    def installed(cls) -> "Site":
        """Return the site in this package."""
        return cls(Path(str(files("app").joinpath("static"))))

    async def index(self, request: Request[State]) -> Response:
        """Serve the chat page; 503 if its libraries are not installed."""
        return self._page(request, self._index, _CHAT_POLICY, CHAT_LIBRARIES)

    async def api_docs(self, request: Request[State]) -> Response:
        """Serve the API reference; 503 if its libraries are not installed."""
        return self._page(request, self._api_docs, _API_DOCS_POLICY, API_DOCS_LIBRARIES)

    async def file(self, request: Request[State]) -> Response:
        """Serve one static file."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise NotFound("There is no such static file.")
        # During a rolling update a worker may be asked for a path of another version. That
        # response must not be cached under that path.
        current = request.path_params["version"] == self.version
        headers = {
            **_HEADERS,
            "Content-Security-Policy": "; ".join(_CHAT_POLICY),
            "Cache-Control": _IMMUTABLE if current else "no-store",
            "ETag": file.etag,
        }
        response = FileResponse(file.path, headers=headers, media_type=file.media_type)
        return conditional(request, response)

    def _page(
        self,
        request: Request[State],
        html: bytes,
        policy: tuple[str, ...],
        libraries: tuple[str, ...],
    ) -> Response:
        if not set(libraries).isdisjoint(self.missing):
            return PlainTextResponse(NOT_INSTALLED + "\n", 503, {"Cache-Control": "no-store"})
        headers = {
            **_HEADERS,
            "Content-Security-Policy": "; ".join(policy),
            "Cache-Control": "no-cache",
            "ETag": etag(html),
        }
        return conditional(request, Response(html, headers=headers, media_type="text/html"))

    def _render(self, path: Path) -> bytes:
        preloads = "\n".join(
            f'<link rel="modulepreload" href="/static/{self.version}/{name}">'
            for name in self._files
            if name.endswith(".js") and name not in _NO_MODULEPRELOAD
        )
        html = path.read_text(encoding="utf-8")
        return html.replace("{modules}", preloads).replace("{version}", self.version).encode()
