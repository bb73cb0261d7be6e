"""The static files, and the two HTML pages that use them: the chat at `/` and `/docs`.

The path of a static file contains a digest of all files, so browsers may cache it for a year. The
HTML pages are revalidated on every request. All files are read once, at start: an upgrade in place
must not change what an old path returns. Links are relative, for a proxy that adds a path prefix.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.bootstrap import State
from app.errors import NotFound
from app.handlers import browser_cookie
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
_SAME_ORIGIN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Only DOMPurify may turn strings into HTML.
_CHAT_POLICY = (
    f"{_SAME_ORIGIN_POLICY}; img-src 'self'; "
    "frame-src https://www.youtube-nocookie.com https://player.vimeo.com; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
# Swagger UI's style sheet has its icons as data URLs.
_API_DOCS_POLICY = f"{_SAME_ORIGIN_POLICY}; img-src 'self' data:"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
_IMMUTABLE = "public, max-age=31536000, immutable"
# A response with a cookie must not reach other browsers.
_PRIVATE = "private, no-cache"


class StaticFile(Struct, frozen=True):
    """A file of the site; `etag` includes its quotes."""

    content: bytes
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
            name: StaticFile(content, _MEDIA_TYPES[Path(name).suffix], etag(content))
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
        response = self._page(request, self._index, _CHAT_POLICY, CHAT_LIBRARIES, _PRIVATE)
        if response.status_code < 400:
            browser_cookie.renew(request, response)
        return response

    async def api_docs(self, request: Request[State]) -> Response:
        """Serve the API reference; 503 if its libraries are not installed."""
        return self._page(request, self._api_docs, _API_DOCS_POLICY, API_DOCS_LIBRARIES, "no-cache")

    async def file(self, request: Request[State]) -> Response:
        """Serve one static file."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise NotFound("There is no such static file.")
        # During a rolling update a worker may be asked for a path of another version. That
        # response must not be cached under that path.
        current = request.path_params["version"] == self.version
        return _response(request, file, _CHAT_POLICY, _IMMUTABLE if current else "no-store")

    def _page(
        self,
        request: Request[State],
        page: StaticFile,
        policy: str,
        libraries: tuple[str, ...],
        caching: str,
    ) -> Response:
        if not set(libraries).isdisjoint(self.missing):
            return PlainTextResponse(NOT_INSTALLED + "\n", 503, {"Cache-Control": "no-store"})
        return _response(request, page, policy, caching)

    def _render(self, path: Path) -> StaticFile:
        preloads = "\n".join(
            f'<link rel="modulepreload" href="static/{self.version}/{name}">'
            for name in self._files
            if name.endswith(".js") and name not in _NO_MODULEPRELOAD
        )
        template = path.read_text(encoding="utf-8").replace("{modules}", preloads)
        html = template.replace("{version}", self.version).encode()
        return StaticFile(html, "text/html", etag(html))


def _response(request: Request[State], file: StaticFile, policy: str, caching: str) -> Response:
    headers = {
        **_HEADERS,
        "Content-Security-Policy": policy,
        "Cache-Control": caching,
        "ETag": file.etag,
    }
    response = Response(file.content, headers=headers, media_type=file.media_type)
    return conditional(request, response)
