"""Tests that every key that workers write to Valkey expires."""

from collections.abc import Iterator

import anyio
import pytest
import redis
from msgspec.structs import replace

from app.config import Settings
from app.infra.embedded.wait import until
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import SOON, asking, ending, following

pytestmark = pytest.mark.anyio

Workers = tuple[Client, Client]


@pytest.fixture
def valkey(redis_url: str) -> Iterator[redis.Redis]:
    """A client that inspects the keys of the workers."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def kinds(valkey: redis.Redis) -> set[str]:
    """Return the prefixes of all keys; asserts that each key expires."""
    keys = list(valkey.scan_iter())
    # -1: the key has no expiry. -2: it expired meanwhile.
    assert [key for key in keys if valkey.pttl(key) == -1] == []
    return {key.split(":")[0] for key in keys}


async def run_every_kind_of_turn(
    workers: Workers, model: ScriptedModel, valkey: redis.Redis
) -> None:
    """Run turns that finish, are stopped and are abandoned, and check their keys."""
    held = anyio.Event()
    model.answers(say("One", held), say("One", anyio.Event()), say("One", anyio.Event()))
    one, other = workers
    async with (
        asking(one, key="key-of-a-question-1") as first,
        following(other, first.turn_id) as remote,
    ):
        assert kinds(valkey) >= {"turn", "worker", "idempotency"}
        await remote.until(2)
        assert kinds(valkey) >= {"turn", "worker", "idempotency"}
        held.set()
        assert ending(await remote.rest()) == "stop"
    async with asking(one) as stopped:
        await stopped.until(2)
        await other.call("DELETE", f"{CHAT}/{stopped.turn_id}")
        kinds(valkey)
        assert ending(await stopped.rest()) == "stopped"
    async with asking(one) as left:
        await left.until(2)
    async with following(other, left.turn_id) as remote:
        await remote.until(2)
        kinds(valkey)
    with anyio.fail_after(SOON):
        await model.disconnected.wait()
    assert "conversation" in kinds(valkey)


async def test_every_key_has_an_expiry_from_its_first_write(
    model_settings: Settings, model: ScriptedModel, valkey: redis.Redis
) -> None:
    settings = replace(model_settings, turn_grace=0.3)
    async with running(settings) as one, running(settings) as other:
        await run_every_kind_of_turn((one, other), model, valkey)
    assert kinds(valkey) >= {"turn", "idempotency", "conversation"}


async def test_no_keys_of_turns_are_left_after_the_replay_time(
    model_settings: Settings, model: ScriptedModel, valkey: redis.Redis
) -> None:
    settings = replace(model_settings, turn_grace=0.3, turn_replay=1.0, turn_lease=0.5)
    async with running(settings) as one, running(settings) as other:
        await run_every_kind_of_turn((one, other), model, valkey)
        left = sorted(valkey.scan_iter())
        assert await until(lambda: kinds(valkey) <= {"conversation"}, SOON), (
            left,
            sorted(valkey.scan_iter()),
        )
