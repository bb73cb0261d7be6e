"""Headers that every response has, whatever its status."""

import pytest

from tests.service import CHAT, Client

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", path, 200) for path in ("/api/v1/search?q=dither", "/api/v1/creators")),
        *(("GET", path, 200) for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")),
        *(("GET", "/static/0/page.js", 200), ("GET", "/static/0/none.js", 404)),
        *(("GET", "/nowhere", 404), ("PUT", "/healthz", 405), ("POST", CHAT, 415)),
        ("DELETE", "/api/v1/conversations/none", 204),
    ],
)
async def test_browsers_must_not_guess_the_media_type(
    service: Client, method: str, path: str, status: int
) -> None:
    answered, _, headers = await service.call(method, path)
    assert answered == status
    assert headers.getall("X-Content-Type-Options") == ["nosniff"]  # type: ignore[attr-defined]


async def test_browsers_must_not_guess_the_media_type_of_a_stream(service: Client) -> None:
    async with service.stream({"query": "What is dither?"}) as stream:
        assert stream.response.headers.getall("X-Content-Type-Options") == ["nosniff"]
