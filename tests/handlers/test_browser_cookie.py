"""The page's cookie: when it is set, and which requests it identifies."""

from collections.abc import Mapping
from http.cookies import Morsel, SimpleCookie

import pytest
from msgspec.structs import replace

from app.config import Settings
from app.services.access.browsers import LIFETIME
from tests.clients.programs import needs_page
from tests.service import CHAT, Client, running

pytestmark = [pytest.mark.anyio, needs_page]

SAME, SAME_SITE, CROSS_SITE = (
    {"Sec-Fetch-Site": site} for site in ("same-origin", "same-site", "cross-site")
)
QUESTION = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}


async def page(
    service: Client, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> Morsel[str] | None:
    """Open the page; return the cookie that it sets."""
    status, _, reply = await service.call(method, "/", headers=headers)
    assert status in (200, 304)
    assert reply["Cache-Control"] == "private, no-cache"
    return next(iter(SimpleCookie(reply.get("Set-Cookie", "")).values()), None)


async def new_browser(service: Client) -> dict[str, str]:
    """Return the Cookie header of a new browser."""
    morsel = await page(service)
    assert morsel is not None
    return {"Cookie": f"{morsel.key}={morsel.value}"}


@pytest.fixture
async def browser(service: Client) -> dict[str, str]:
    """The Cookie header of a browser."""
    return await new_browser(service)


async def test_the_page_sets_the_cookie_once(service: Client) -> None:
    morsel = await page(service)
    assert morsel is not None
    assert morsel.key == "chrysopedia"
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "strict", "/")
    assert (morsel["max-age"], morsel["secure"], morsel["domain"]) == (str(LIFETIME), "", "")
    cookie = {"Cookie": f"{morsel.key}={morsel.value}"}
    assert await page(service, cookie) is None
    assert await page(service, {"Cookie": "chrysopedia=invalid"}) is not None


async def test_a_cached_page_and_a_head_request_set_the_cookie(service: Client) -> None:
    _, _, headers = await service.call("GET", "/")
    assert await page(service, {"If-None-Match": headers["ETag"]}) is not None
    assert await page(service, SAME, "HEAD") is not None


@pytest.mark.parametrize("headers", [CROSS_SITE, {"Referer": "https://elsewhere.example/"}])
async def test_a_visitor_from_another_site_keeps_the_cookie_that_was_not_sent(
    service: Client, headers: dict[str, str]
) -> None:
    assert await page(service, headers) is None


@pytest.mark.parametrize(
    ("root_path", "name", "path"),
    [("", "__Host-chrysopedia", "/"), ("/chat", "__Secure-chrysopedia", "/chat")],
)
async def test_over_https_the_cookie_is_bound_to_the_host(
    service_settings: Settings, root_path: str, name: str, path: str
) -> None:
    behind_proxy = replace(service_settings, root_path=root_path, trusted_proxies="127.0.0.1")
    async with running(behind_proxy) as service:
        morsel = await page(service, {"X-Forwarded-Proto": "https"})
        assert morsel is not None
        assert (morsel.key, morsel["path"], morsel["secure"]) == (name, path, True)


async def test_other_replies_set_no_cookie(service: Client) -> None:
    for path in ("/api/v1/creators", "/docs", "/openapi.json", "/none"):
        _, _, headers = await service.call("GET", path)
        assert "Set-Cookie" not in headers, path


async def ask(service: Client, headers: Mapping[str, str]) -> tuple[str, str]:
    """Ask a question; return the path of the turn and that of the conversation."""
    async with service.stream(QUESTION, headers) as stream:
        await stream.rest()
        found = stream.response.headers
    assert found["Location"] == f"{CHAT}/{found['X-Turn-Id']}"
    return found["Location"], f"/api/v1/conversations/{found['X-Conversation-Id']}"


async def test_only_the_browser_that_asked_has_access(
    service: Client, browser: dict[str, str]
) -> None:
    turn, conversation = await ask(service, browser | SAME)
    others = (SAME, await new_browser(service) | SAME, browser | SAME_SITE, browser | CROSS_SITE)
    for headers in others:
        for method, path in (("GET", turn), ("DELETE", turn), ("GET", conversation)):
            status, problem, _ = await service.call(method, path, headers=headers)
            assert (status, problem["status"]) == (404, 404), (method, path, headers)
        status, _, _ = await service.call("DELETE", conversation, headers=headers)
        assert status == 204
    for method, path, expected in (
        ("GET", turn, 200),
        ("GET", conversation, 200),
        ("DELETE", turn, 202),
        ("DELETE", conversation, 204),
        ("GET", conversation, 404),
    ):
        status, _, _ = await service.call(method, path, headers=browser | SAME)
        assert status == expected, (method, path)


async def test_without_fetch_metadata_the_origin_must_be_the_host(
    service: Client, browser: dict[str, str]
) -> None:
    turn, _ = await ask(service, browser | {"Origin": service.url})
    status, _, _ = await service.call("GET", turn, headers=browser)
    assert status == 200
    elsewhere = {"Origin": "http://elsewhere.example"}
    status, problem, _ = await service.call("DELETE", turn, headers=browser | elsewhere)
    assert status == 403
    assert "Host" in problem["detail"]


async def test_browsers_may_use_the_same_idempotency_key(service: Client) -> None:
    key = {"Idempotency-Key": "k"} | SAME
    turns = {(await ask(service, await new_browser(service) | key))[0] for _ in range(2)}
    assert len(turns) == 2


async def test_with_access_control_the_page_may_ask_but_not_search(
    service_settings: Settings,
) -> None:
    async with running(replace(service_settings, auth="on")) as service:
        browser = await new_browser(service) | SAME
        await ask(service, browser)
        for headers, path, expected in (
            (browser, "/api/v1/creators", 200),
            (browser, "/api/v1/search?q=bass", 403),
            (browser | CROSS_SITE, "/api/v1/creators", 401),
            (SAME, "/api/v1/creators", 401),
        ):
            status, _, _ = await service.call("GET", path, headers=headers)
            assert status == expected, (path, headers)


async def test_anonymous_browsers_can_be_refused(service_settings: Settings) -> None:
    async with running(service_settings) as service:
        browser = await new_browser(service) | SAME
    async with running(replace(service_settings, auth="on", auth_anonymous="off")) as service:
        assert await page(service) is None
        status, problem, _ = await service.call("GET", "/api/v1/creators", headers=browser)
        assert (status, problem["status"]) == (401, 401)
