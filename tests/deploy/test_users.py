"""nginx asks another server who sends a request, and the workers believe nginx only."""

import re

import pytest
from aiohttp import web
from msgspec.structs import replace

from app.config import Settings
from tests.deploy.stub import stub
from tests.nginx import DEPLOY, nginx
from tests.service import CHAT, running

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

USER = "X-Remote-User"


async def signs_in(request: web.BaseRequest) -> web.Response:
    """Accept a session of ann or bob, as oauth2-proxy does."""
    user = request.cookies.get("session", "")
    if user not in ("ann", "bob"):
        return web.Response(status=401)
    return web.Response(status=202, headers={"X-Auth-Request-User": user})


def asking(address: str) -> str:
    """Return the shipped configuration, with another address of the server to ask."""
    shipped = (DEPLOY / "auth-request.conf").read_text()
    assert shipped.count("127.0.0.1:4180") == 2
    return re.sub(r"127\.0\.0\.1:4180", address, shipped)


def session(user: str) -> dict[str, str]:
    return {"Cookie": f"session={user}"}


@pytest.mark.parametrize("path", ["/", CHAT, "/api/v1/creators", "/static/0a/page.js"])
async def test_the_users_own_header_never_reaches_a_worker(path: str) -> None:
    given = {USER: "admin", "x_remote_user": "admin"}
    async with stub() as worker, stub(signs_in) as accounts:
        async with nginx([worker.address]) as front:
            await front.call("GET", path, headers=given)
        async with nginx([worker.address], asking(accounts.address)) as front:
            await front.call("GET", f"{path}?again", headers=given | session("ann"))
    assert [it.headers.getall(USER, []) for it in worker.seen] == [[], ["ann"]]
    assert [it.headers.getall("x_remote_user", []) for it in worker.seen] == [[], []]


async def test_requests_without_a_session_reach_no_worker() -> None:
    async with (
        stub() as worker,
        stub(signs_in) as accounts,
        nginx([worker.address], asking(accounts.address)) as front,
    ):
        for headers in ({}, session("eve"), {USER: "ann"}):
            assert (await front.call("POST", CHAT, data=b"{}", headers=headers))[0] == 401
        assert not worker.seen
        assert {it.path for it in accounts.seen} == {"/oauth2/auth"}
        # The question itself is not sent there.
        assert {it.body for it in accounts.seen} == {b""}


async def test_each_user_has_their_own_turns(database_url: str, redis_url: str) -> None:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        auth="on",
        auth_anonymous="off",
        auth_subject_header=USER,
        trusted_proxies="127.0.0.1",
    )
    async with stub(signs_in) as accounts:
        configuration = asking(accounts.address)
        async with (
            running(settings) as worker,
            nginx([worker.url.removeprefix("http://")], configuration) as front,
        ):
            _, _, headers = await front.call(
                "POST", CHAT, json={"query": "Hello!"}, headers=session("ann")
            )
            turn = f"{CHAT}/{headers['X-Turn-Id']}"
            assert (await front.call("GET", turn, headers=session("ann")))[0] == 200
            assert (await front.call("GET", turn, headers=session("bob")))[0] == 404
            claimed = session("bob") | {USER: "ann"}
            assert (await front.call("GET", turn, headers=claimed))[0] == 404
        # Elsewhere the header means nothing.
        async with running(replace(settings, trusted_proxies="10.0.0.1")) as worker:
            assert (await worker.call("GET", turn, headers={USER: "ann"}))[0] == 401
