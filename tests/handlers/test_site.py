"""The site's pages and static files: security headers, caching, missing libraries."""

import re
from pathlib import Path

import pytest

from app.handlers.site import API_DOCS_LIBRARIES, CHAT_LIBRARIES, Site
from tests.clients.programs import needs_page
from tests.service import Client

pytestmark = pytest.mark.anyio


@needs_page
async def test_page_has_a_strict_content_security_policy(service: Client) -> None:
    _, _, headers = await service.call("GET", "/")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == "'self'"
    assert policy["frame-src"] == "https://www.youtube-nocookie.com https://player.vimeo.com"
    assert policy["require-trusted-types-for"] == "'script'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@needs_page
async def test_every_file_of_the_page_is_served_as_immutable(
    service: Client,
) -> None:
    status, html, headers = await service.call("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Cache-Control"] == "private, no-cache"
    named = set(re.findall(r'(?:src|href)="(static/[^"]+)"', html.decode()))
    assert len(named) > 10
    for path in named:
        status, _, headers = await service.call("GET", f"/{path}")
        assert status == 200, path
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"].split(";")[0] in (
            "text/css",
            "text/javascript",
            "image/svg+xml",
        )


@needs_page
async def test_unchanged_page_is_a_304(service: Client) -> None:
    _, _, headers = await service.call("GET", "/")
    for tag in (headers["ETag"], f'"other", W/{headers["ETag"]}', "*"):
        status, body, again = await service.call("GET", "/", headers={"If-None-Match": tag})
        assert (status, body) == (304, None)
        assert again["ETag"] == headers["ETag"]
    status, _, _ = await service.call("GET", "/", headers={"If-None-Match": '"other"'})
    assert status == 200


async def test_file_of_another_version_is_not_cached(service: Client) -> None:
    status, _, headers = await service.call("GET", "/static/0123456789abcdef/page.js")
    assert (status, headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["none.js", "index.html", "../main.py", "%2e%2e/main.py", "vendor/package.json"]
)
async def test_other_files_are_not_served(service: Client, name: str) -> None:
    status, problem, _ = await service.call("GET", f"/static/0123456789abcdef/{name}")
    assert (status, problem["status"]) == (404, 404)


async def test_page_without_its_libraries_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{modules}")
    (tmp_path / "api-docs.html").write_text("{version}")
    site = Site(tmp_path)
    assert site.missing == (*CHAT_LIBRARIES, *API_DOCS_LIBRARIES)
    for page in (site.index, site.api_docs):
        reply = await page(None)  # type: ignore[arg-type]
        assert reply.status_code == 503
        assert b"make page" in reply.body


def test_any_changed_file_changes_the_version(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{modules}")
    (tmp_path / "api-docs.html").write_text("{version}")
    versions = []
    for text in ("one", "another"):
        (tmp_path / "page.css").write_text(text)
        versions.append(Site(tmp_path).version)
    assert versions[0] != versions[1]
