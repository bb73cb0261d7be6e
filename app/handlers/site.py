"""The page's files come in, once; `/` and the files go out, under a strict security policy.

A file's address holds a digest of all files, so browsers may keep it for a year; the page itself
is asked for anew each time, and costs a 304 where it has not changed.
"""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.bootstrap import State
from app.errors import NotFound

NOT_INSTALLED = (
    "The page's libraries are not installed: run `make page`, or `make run`, which does it too,"
    " and start the service again. The API works without them, at /api/v1."
)

# What npm installs and the Makefile puts there; see vendor/package.json.
LIBRARIES = ("vendor/dompurify.js", "vendor/marked.js")

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# `dompurify` is the one policy that may make HTML of text: DOMPurify's own.
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "frame-src https://www.youtube-nocookie.com https://player.vimeo.com",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
)
_HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"


class File(Struct, frozen=True):
    """A file as it is served; `etag` has its quotes."""

    content: bytes
    media_type: str
    etag: str


class Page:
    """The page, read from `folder` at once; `missing` names the libraries that are not there."""

    def __init__(self, folder: Traversable) -> None:
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        found |= {
            f"vendor/{path.name}": path.read_bytes()
            for path in folder.joinpath("vendor").iterdir()
            if path.name.endswith(".js")
        }
        html = found.pop("index.html")
        contents = b"".join(found[name] for name in sorted(found))
        self.missing = tuple(name for name in LIBRARIES if name not in found)
        self.version = hashlib.sha256(contents).hexdigest()[:16]
        self._files = {
            name: _file(content, media_type)
            for name, content in found.items()
            if (media_type := _TYPES.get(f".{name.rpartition('.')[2]}"))
        }
        self._index = _file(self._complete(html), "text/html; charset=utf-8")

    async def index(self, request: Request[State]) -> Response:
        """Give the page, or say what to run where it is not complete."""
        if self.missing:
            return PlainTextResponse(NOT_INSTALLED + "\n", 503, {"Cache-Control": "no-store"})
        return _reply(request, self._index, "no-cache")

    async def file(self, request: Request[State]) -> Response:
        """Give one of the page's files."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise NotFound("The page has no such file.")
        # While workers are replaced, one may be asked for the files of another's page: such a reply
        # must not be kept under that address.
        same = request.path_params["version"] == self.version
        return _reply(request, file, _FOR_A_YEAR if same else "no-store")

    def _complete(self, html: bytes) -> bytes:
        """Fill in the files' version, and what the browser may fetch before it knows why."""
        modules = "\n".join(
            f'<link rel="modulepreload" href="/static/{self.version}/{name}">'
            for name in sorted(self._files)
            if name.endswith(".js")
        )
        return html.replace(b"{modules}", modules.encode()).replace(
            b"{version}", self.version.encode()
        )


def installed() -> Page:
    """Read the page that comes with this package."""
    return Page(files("app").joinpath("static"))


def _file(content: bytes, media_type: str) -> File:
    return File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _reply(request: Request[State], file: File, caching: str) -> Response:
    headers = {**_HEADERS, "Cache-Control": caching, "ETag": file.etag}
    known = request.headers.get("if-none-match", "").split(",")
    if any(tag.strip().removeprefix("W/") in (file.etag, "*") for tag in known):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
