"""What a turn asks of Redis, and what it makes of the replies."""

from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from app.services.streams import LocalStream
from app.services.streams.batch import Batch
from app.services.streams.log_format import Header


class Recorder(Batch):
    """A batch that goes nowhere: the test gives the replies."""

    def __init__(self) -> None:
        self.takers: dict[str | bytes | int, Callable[[object], None]] = {}

    def add(self, take: Callable[[object], None], *command: str | bytes | int) -> None:
        self.takers[command[0]] = take


def written(turn: LocalStream, now: float) -> dict[str | bytes | int, Callable[[object], None]]:
    batch = Recorder()
    turn.write(batch, now)
    return batch.takers


@pytest.fixture
def turn() -> LocalStream:
    return LocalStream("t", Header("c", "w"), replay=5)


@pytest.mark.parametrize("trouble", [RedisConnectionError(), -2])
def test_whoever_was_seen_watching_counts_on_though_redis_is_in_trouble(
    turn: LocalStream, trouble: object
) -> None:
    written(turn, 100)["PTTL"](5_000)
    written(turn, 101)["PTTL"](trouble)
    assert turn.watched_until == 105
    written(turn, 106)["PTTL"](trouble)
    assert turn.watched_until == 106


def test_whoever_has_never_been_seen_does_not_count(turn: LocalStream) -> None:
    written(turn, 100)["PTTL"](RedisConnectionError())
    assert turn.watched_until == 100


def test_a_log_that_is_not_as_long_as_it_should_be_is_written_whole(turn: LocalStream) -> None:
    turn.add([b"0"])
    written(turn, 100)["SET"](True)
    turn.add([b"1"])
    written(turn, 100.1)["APPEND"](3)
    assert "SET" in written(turn, 100.2)


def test_what_could_not_be_written_is_given_up_when_nobody_could_read_it_any_more(
    turn: LocalStream,
) -> None:
    turn.add([b"0"], ended=True)
    written(turn, 100)["SET"](RedisConnectionError())
    assert not turn.complete
    written(turn, 106)
    assert turn.complete


def test_a_claim_is_renewed_only_once_it_is_the_turns(turn: LocalStream) -> None:
    batch = Recorder()
    renewed: list[str | bytes | int] = []
    batch.add = lambda take, *command: renewed.append(command[1])  # type: ignore[method-assign]
    turn.write(batch, 100)
    assert "idempotency:k" not in renewed
    turn.claim = "idempotency:k"
    turn.write(batch, 102)
    assert "idempotency:k" in renewed
