"""CORS: which web pages may call the API."""

from collections.abc import Mapping

import pytest

from app.config import Settings
from tests.keys import SITE, make_key
from tests.service import CHAT, running

pytestmark = pytest.mark.anyio

PREFLIGHT = {"Access-Control-Request-Method": "POST"}


def cors(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("Access-Control-")}


async def test_pages_on_the_origins_of_keys_may_call_the_api(
    database_url: str, redis_url: str
) -> None:
    key = await make_key(database_url, kind="publishable", origins=(SITE,))
    settings = Settings(
        database_url=database_url, redis_url=redis_url, auth="on", root_path="/chat"
    )
    async with running(settings) as service:
        status, body, headers = await service.call(
            "OPTIONS", CHAT, headers={"Origin": SITE, **PREFLIGHT}
        )
        assert (status, body, headers["Vary"]) == (204, None, "Origin")
        assert cors(headers) == {
            "Access-Control-Allow-Origin": SITE,
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key,"
            " Last-Event-ID, X-Request-Id, traceparent",
            "Access-Control-Max-Age": "7200",
        }
        exposed = {
            "Access-Control-Allow-Origin": SITE,
            "Access-Control-Expose-Headers": "X-Turn-Id, X-Conversation-Id, Retry-After,"
            " RateLimit, RateLimit-Policy, Location",
        }
        asked = {"json": {"query": "Hello!"}, "headers": {"Origin": SITE, **key.headers}}
        status, _, headers = await service.call("POST", CHAT, **asked)
        assert (status, headers["Vary"], cors(headers)) == (200, "Origin", exposed)
        # Pages can read why they are refused.
        status, _, headers = await service.call("POST", CHAT, headers={"Origin": SITE})
        assert (status, headers["Vary"], cors(headers)) == (401, "Origin", exposed)


@pytest.mark.parametrize("origin", ["https://other.example", "null", "*", "", "ü"])
async def test_pages_on_other_origins_may_not(
    database_url: str, redis_url: str, origin: str
) -> None:
    await make_key(database_url, kind="publishable", origins=(SITE,))
    settings = Settings(database_url=database_url, redis_url=redis_url, auth="on")
    async with running(settings) as service:
        for method in ("OPTIONS", "POST"):
            asked = {"Origin": origin, **PREFLIGHT}
            status, _, headers = await service.call(method, CHAT, headers=asked)
            assert status == (405 if method == "OPTIONS" else 401)
            assert (headers["Vary"], cors(headers)) == ("Origin", {})


async def test_pages_on_other_sites_may_not_read_the_page_or_the_metrics(
    database_url: str, redis_url: str
) -> None:
    await make_key(database_url, kind="publishable", origins=(SITE,))
    settings = Settings(database_url=database_url, redis_url=redis_url, auth="on")
    async with running(settings) as service:
        for path in ("/metrics", "/readyz", "/"):
            _, _, headers = await service.call("GET", path, headers={"Origin": SITE})
            assert cors(headers) == {}
