"""Tests of the commands that log a local stream, and of how it handles their replies."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from app.services.streams import LocalStream
from app.services.streams.batch import Batch
from app.services.streams.log_format import Header


class Recorder(Batch):
    """A batch that is not sent: the test calls the callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[str | int, Callable[[Any], None]] = {}
        self.keys: set[str | int] = set()

    def add(self, *command: str | int, on_reply: Callable[[Any], None] | None = None) -> None:
        self.keys.add(command[1])
        if on_reply is not None:
            self.callbacks[command[0]] = on_reply


def written(stream: LocalStream, now: float) -> dict[str | int, Callable[[Any], None]]:
    batch = Recorder()
    stream.write(batch, now)
    return batch.callbacks


@pytest.fixture
def stream() -> LocalStream:
    return LocalStream("s", Header("", "w"), replay=5, on_stop=lambda: None)


@pytest.mark.parametrize("reply", [RedisConnectionError(), -2])
def test_known_remote_viewers_still_count_while_redis_fails(
    stream: LocalStream, reply: object
) -> None:
    written(stream, 100)["PTTL"](5_000)
    written(stream, 101)["PTTL"](reply)
    assert stream.remote_viewers_until == 105
    written(stream, 106)["PTTL"](reply)
    assert stream.remote_viewers_until == 106


def test_there_are_no_remote_viewers_until_they_are_reported(stream: LocalStream) -> None:
    written(stream, 100)["PTTL"](RedisConnectionError())
    assert stream.remote_viewers_until == 100


def test_a_log_of_unexpected_length_is_rewritten(stream: LocalStream) -> None:
    stream.append(b"0")
    written(stream, 100)["SET"](True)
    stream.append(b"1")
    written(stream, 100.1)["APPEND"](3)
    assert "SET" in written(stream, 100.2)


def test_an_unlogged_ended_stream_is_dropped_after_its_replay_time(stream: LocalStream) -> None:
    stream.extend([b"0"], ended=True)
    written(stream, 100)["SET"](RedisConnectionError())
    assert not stream.fully_logged
    written(stream, 106)
    assert stream.fully_logged


def test_an_idempotency_key_is_renewed_with_the_log(stream: LocalStream) -> None:
    batch = Recorder()
    stream.write(batch, 100)
    assert "idempotency:k" not in batch.keys
    stream.idempotency_key = "idempotency:k"
    stream.write(batch, 102)
    assert "idempotency:k" in batch.keys
