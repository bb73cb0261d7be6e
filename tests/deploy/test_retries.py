"""nginx in front of several workers: which requests it retries."""

import aiohttp
import pytest

from tests.deploy.stub import breaks, refuses, serves, stub
from tests.nginx import nginx
from tests.relay import relay
from tests.service import CHAT

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

QUESTION = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}
# Enough for each of two workers to be tried first for some.
TIMES = 4


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_request_refused_by_one_worker_goes_to_the_next(method: str) -> None:
    async with (
        stub(refuses) as draining,
        stub(serves) as other,
        nginx([draining.address, other.address]) as front,
    ):
        replies = [await front.call(method, CHAT, data=b"{}") for _ in range(TIMES)]
        assert [(status, body) for status, body, _ in replies] == [(200, b"served")] * TIMES
        assert 0 < len(draining.seen) < TIMES
        assert len(other.seen) == TIMES


async def test_unreachable_worker_loses_no_question() -> None:
    async with (
        stub(serves) as other,
        relay(other.address) as away,
        nginx([away.address, other.address]) as front,
    ):
        await away.close()
        for _ in range(TIMES):
            assert (await front.call("POST", CHAT, json=QUESTION))[0] == 200


async def test_question_is_retried_with_its_own_idempotency_key() -> None:
    async with (
        stub(breaks) as dying,
        stub(serves) as other,
        nginx([dying.address, other.address]) as front,
    ):
        for _ in range(TIMES):
            assert (await front.call("POST", CHAT, json=QUESTION))[0] == 200
        assert 0 < len(dying.seen) < TIMES
        sent = [{(it.method, it.key, it.body) for it in each.seen} for each in (dying, other)]
        assert sent[0] < sent[1]
        assert len({it.key for it in other.seen}) == TIMES
        assert all(it.key for it in other.seen)


async def test_only_questions_get_a_key_and_are_retried_after_they_may_have_started() -> None:
    async with (
        stub(breaks) as one,
        stub(breaks) as other,
        nginx([one.address, other.address]) as front,
    ):
        assert (await front.call("POST", "/api/v1/other", data=b"{}"))[0] == 503
        assert len(one.seen) + len(other.seen) == 1
        assert (await front.call("DELETE", CHAT + "/t_1"))[0] == 503
        assert [it.key for it in (*one.seen, *other.seen) if it.method == "DELETE"] == [None] * 2


async def test_idempotency_key_of_the_client_is_kept() -> None:
    async with stub(serves) as worker, nginx([worker.address]) as front:
        await front.call("POST", CHAT, json=QUESTION, headers={"Idempotency-Key": "mine"})
        assert [it.key for it in worker.seen] == ["mine"]


async def test_client_gets_the_workers_retry_after_when_all_refuse() -> None:
    async with (
        stub(refuses) as one,
        stub(refuses) as other,
        nginx([one.address, other.address]) as front,
    ):
        # Workers that refuse are tried again each time: nginx does not consider them dead.
        for times in range(1, TIMES + 1):
            status, body, headers = await front.call("POST", CHAT, json=QUESTION)
            assert (status, body, headers["Retry-After"]) == (503, b"draining", "7")
            assert len(one.seen) == len(other.seen) == times


async def test_viewer_is_disconnected_without_a_status_while_no_worker_is_reachable() -> None:
    async with (
        stub(serves) as worker,
        relay(worker.address) as away,
        nginx([away.address]) as front,
    ):
        await away.close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await front.call("GET", CHAT + "/t_1")
        await away.open()
        assert (await front.call("GET", CHAT + "/t_1"))[0] == 200
