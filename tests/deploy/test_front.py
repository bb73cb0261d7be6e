"""nginx's own part: limits, request IDs, static files, TLS, and the shipped site."""

import asyncio
import gzip
import json
import re
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import anyio
import pytest
from aiohttp import web
from yarl import URL

from app.limits import CREATOR_LIMIT, QUERY_LIMIT
from tests.deploy.curl import curl
from tests.deploy.stub import serves, stub
from tests.nginx import DEPLOY, FOLDERS, nginx, user
from tests.programs import NGINX
from tests.service import CHAT
from tests.survival.reading import SOON

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

LIMIT = 16 * 1024
# Concurrent streams, and bursts of questions and of other requests, allowed per address.
STREAMS, QUESTIONS, CALLS = 100, 21, 101
SCRIPT = "export const text = 'é';\n" * 100
FOR_A_YEAR = "public, max-age=31536000, immutable"


async def test_body_over_the_limit_reaches_no_worker() -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        assert (await front.call("POST", CHAT, data=b"x" * LIMIT))[0] == 200
        status, problem, headers = await front.call("POST", CHAT, data=b"x" * (LIMIT + 1))
        assert (status, problem["status"], len(worker.seen)) == (413, 413, 1)
        assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "most"), [("POST", CHAT, QUESTIONS), ("GET", "/api/v1/creators", CALLS)]
)
async def test_requests_of_one_address_are_limited(method: str, path: str, most: int) -> None:
    # Fewer at a time than streams are allowed, which is another limit.
    places = asyncio.Semaphore(STREAMS // 2)
    async with stub() as worker, nginx([worker.address], limited=True) as front:

        async def ask() -> tuple[int, Any, Mapping[str, str]]:
            async with places:
                return await front.call(method, path)

        with anyio.fail_after(SOON):
            replies = await asyncio.gather(*(ask() for _ in range(2 * most)))
        served = [status for status, _, _ in replies if status == 200]
        # On a slow machine the rate allows a few more.
        assert most <= len(served) < 2 * most
        _, problem, headers = next(reply for reply in replies if reply[0] == 429)
        assert (problem["status"], headers["Retry-After"]) == (429, "5")


async def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    behind = "set_real_ip_from 127.0.0.1; real_ip_header X-Address;"
    async with stub() as worker, nginx([worker.address], behind, limited=True) as front:

        async def asked(number: int, network: str = "2001:db8:1:2") -> int:
            address = {"X-Address": f"{network}:{number:x}:0:0:1"}
            return (await front.call("POST", CHAT, headers=address))[0]

        with anyio.fail_after(SOON):
            # From 1: an address with more zeros would be written with `::` in another place.
            replies = [await asked(1 + number) for number in range(2 * QUESTIONS)]
        assert replies.count(429) > 0
        assert await asked(1, "2001:db8:1:3") == 200


@pytest.mark.parametrize(
    ("method", "path", "header", "expected"),
    [
        ("TRACE", "/", "", 405),
        ("GET", f"/{'x' * 17_000}", "", 414),
        ("GET", "/", "x" * 17_000, 400),
        ("GET", "/%zz", "", 400),
    ],
)
async def test_invalid_requests_get_problem_documents(
    method: str, path: str, header: str, expected: int
) -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        url = URL(front.url + path, encoded=True)
        async with front.http.request(method, url, headers={"X-More": header}) as reply:
            assert (reply.status, reply.content_type) == (expected, "application/problem+json")
            assert json.loads(await reply.read())["status"] == expected
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert not worker.seen


async def test_streams_of_one_address_are_limited() -> None:
    came, over = anyio.Semaphore(0), anyio.Event()

    async def holds(request: web.BaseRequest) -> web.Response:
        came.release()
        await over.wait()
        return await serves(request)

    async with stub(holds) as worker, nginx([worker.address], limited=True) as front:
        async with asyncio.TaskGroup() as group:
            for number in range(STREAMS):
                group.create_task(front.call("GET", f"{CHAT}/t_{number}"))
            try:
                with anyio.fail_after(SOON):
                    for _ in range(STREAMS):
                        await came.acquire()
                    assert (await front.call("GET", f"{CHAT}/t_more"))[0] == 429
            finally:
                over.set()
        assert 'limiting connections by zone "streams"' in front.log()


@pytest.mark.parametrize(
    ("given", "kept"), [("a-name.of:mine/1+2=3", True), ("two words", False), ("x" * 129, False)]
)
async def test_request_id_is_the_same_in_response_worker_and_log(given: str, kept: bool) -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        headers = {"X-Request-Id": given}
        async with front.http.get(front.url + "/?q=secret", headers=headers) as reply:
            [name] = reply.headers.getall("X-Request-Id")
        assert (name == given) is kept
        assert worker.seen[0].headers["X-Request-Id"] == name
        [line] = await front.requests(1)
        assert json.loads(line)["request_id"] == f"{name[:8]}…"
        assert "secret" not in line


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        (f"{CHAT}/t_{'0' * 32}?lastEventId=x", f"{CHAT}/t_000000…"),
        ("/chat/api/v1/conversations/c_123456789/x", "/chat/api/v1/conversations/c_123456…/x"),
        (CHAT, CHAT),
        ("/a%0AFORGED", "/a%0AFORGED"),
        ("/a\u202eb", "/a"),
        ("/" + "x" * 1_000, "/" + "x" * 199),
    ],
)
async def test_logged_path_is_short_and_printable(path: str, logged: str) -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        reader, writer = await asyncio.open_connection(
            *front.url.removeprefix("http://").split(":")
        )
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        [line] = await front.requests(1)
        assert json.loads(line)["path"] == logged


async def test_trace_context_reaches_the_worker() -> None:
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    async with stub() as worker, nginx([worker.address]) as front:
        await front.call("POST", CHAT, data=b"{}", headers=trace)
        assert {name: worker.seen[0].headers[name] for name in trace} == trace


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/metrics%0A"])
async def test_metrics_are_not_public(path: str) -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        url = URL(front.url + path, encoded=True)
        async with front.http.get(url) as reply:
            assert (reply.status, reply.content_type) == (404, "application/problem+json")
        assert not worker.seen


async def test_encoded_newline_in_a_path_does_not_bypass_the_limits() -> None:
    async with stub() as worker, nginx([worker.address]) as front:
        async with front.http.post(URL(front.url + CHAT + "%0A", encoded=True)) as reply:
            assert reply.status == 404
        assert not worker.seen


@pytest.mark.needs("curl")
async def test_longest_search_url_reaches_a_worker(certificate: Path) -> None:
    # Four bytes per character, three characters per byte when encoded.
    longest = {"q": "🎚" * QUERY_LIMIT, "creator": "🎚" * CREATOR_LIMIT}
    path = f"/api/v1/search?{urlencode(longest)}"
    async with stub() as worker, nginx([worker.address], certificate=certificate) as front:
        async with front.http.get(URL(front.url + path, encoded=True)) as reply:
            assert reply.status == 200
        async with curl(front.tls_url + path, certificate=certificate) as (head, _):
            assert head.startswith("http/2 200")
        assert [it.path for it in worker.seen] == [path] * 2


async def test_connections_to_workers_are_reused() -> None:
    async with (
        stub() as worker,
        nginx([worker.address]) as front,
        # A connection belongs to one nginx process, and each process has its own connections.
        aiohttp.ClientSession(front.url) as http,
    ):
        for _ in range(3):
            async with http.get("/") as reply:
                assert reply.status == 200
        assert len({it.peer for it in worker.seen}) == 1


async def test_only_cacheable_page_files_are_cached_and_only_static_files_compressed() -> None:
    async def page(request: web.BaseRequest) -> web.Response:
        caching = "no-store" if "other" in request.path else FOR_A_YEAR
        kind = "text/javascript" if request.path.endswith(".js") else "text/html"
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": caching}
        return web.Response(text=SCRIPT, headers=headers)

    async with (
        stub(page) as worker,
        nginx([worker.address]) as front,
        # See the body as it was sent.
        aiohttp.ClientSession(front.url, auto_decompress=False) as http,
    ):
        for coding in ("identity", "gzip"):
            asked = {"Accept-Encoding": coding}
            # A query does not matter: it is the same file.
            path = f"/static/0a1b2c/page.js?{coding}"
            async with http.get(path, headers=asked) as reply:
                body = await reply.read()
                assert (gzip.decompress(body) if coding == "gzip" else body).decode() == SCRIPT
                assert reply.headers.get("Content-Encoding", "identity") == coding
                assert reply.headers["Cache-Control"] == FOR_A_YEAR
                assert reply.headers["Vary"] == "Accept-Encoding"
        assert len(worker.seen) == 1
        for path in ("/static/other/page.js", "/static/other/page.js", "/"):
            async with http.get(path, headers={"Accept-Encoding": "gzip"}) as reply:
                assert ("Content-Encoding" in reply.headers) is path.startswith("/static/")
        assert len(worker.seen) == 4


async def test_question_without_any_worker_gets_a_retry_after() -> None:
    async with stub() as worker:
        address = worker.address
    async with nginx([address]) as front:
        status, problem, headers = await front.call("POST", CHAT, data=b"{}")
        assert (status, problem["status"], headers["Retry-After"]) == (503, 503, "2")


async def test_http_redirects_to_https_which_sends_hsts(certificate: Path) -> None:
    async with stub() as worker, nginx([worker.address], certificate=certificate) as front:
        asked = f"{front.redirect_url}/a?q=b"
        async with front.http.post(asked, data=b"{}", allow_redirects=False) as reply:
            assert reply.status == 308
            assert reply.headers["Location"] == "https://localhost/a?q=b"
        context = ssl.create_default_context(cafile=certificate)
        async with front.http.get(front.tls_url, ssl=context) as reply:
            assert reply.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert worker.seen[0].headers["X-Forwarded-Proto"] == "https"
        async with front.http.get(front.url) as reply:
            assert "Strict-Transport-Security" not in reply.headers


def test_shipped_site_configuration_is_valid(data_dir: Path, certificate: Path) -> None:
    assert NGINX
    (data_dir / "site").mkdir(parents=True)
    (data_dir / "nginx.conf").symlink_to(DEPLOY / "nginx.conf")
    here = {
        r"user www-data": f"user {user()}",
        r"/run/": "",
        r"/var/(log|cache)/": "",
        r"nginx/(access|error)": r"\1",
        r"/etc/letsencrypt/\S+pem": str(certificate),
        # The ports may be in use on this machine.
        r"listen (\[::\]:)?(80|443)": r"listen unix:\1\2",
    }
    for shipped in (DEPLOY / "site").iterdir():
        text = shipped.read_text()
        for pattern, replacement in here.items():
            text = re.sub(pattern, replacement, text)
        (data_dir / "site" / shipped.name).write_text(text)
    with (data_dir / "site/http.conf").open("a") as file:
        file.write(FOLDERS)
    command: list[str | Path] = [NGINX, "-t", "-p", data_dir, "-c", "nginx.conf", "-e", "nginx.log"]
    done = subprocess.run(command, cwd=data_dir, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
