"""A turn that nobody watches is ended when its grace time is over, and no watched one ever."""

import anyio
import pytest

from app.services.streams import LocalStream
from app.services.streams.abandonment import AbandonmentTimer
from app.services.streams.log_format import Header

pytestmark = pytest.mark.anyio


@pytest.fixture
def turn() -> LocalStream:
    return LocalStream("t", Header("c", "w"), replay=60)


async def test_it_ends_when_a_tick_has_just_seen_nobody_elsewhere(turn: LocalStream) -> None:
    ended = anyio.Event()
    AbandonmentTimer(turn, 0.05, ended.set).begin()
    turn.looked_at = anyio.current_time()
    with anyio.fail_after(5):
        await ended.wait()


async def test_what_was_seen_long_ago_ends_nothing(turn: LocalStream) -> None:
    # The worker was held up: somebody may have come meanwhile, elsewhere.
    ended = anyio.Event()
    AbandonmentTimer(turn, 0.01, ended.set).begin()
    turn.looked_at = anyio.current_time() - 3
    with anyio.move_on_after(0.2):
        await ended.wait()
    assert not ended.is_set()
    turn.looked_at = anyio.current_time()
    with anyio.fail_after(5):
        await ended.wait()


async def test_it_does_not_end_while_somebody_counts_elsewhere(turn: LocalStream) -> None:
    ended = anyio.Event()
    AbandonmentTimer(turn, 0.01, ended.set).begin()
    turn.looked_at = anyio.current_time() + 60
    turn.watched_until = until = anyio.current_time() + 0.2
    with anyio.fail_after(5):
        await ended.wait()
    assert anyio.current_time() >= until


async def test_a_viewer_here_stops_the_count_and_the_last_to_go_begins_it_anew(
    turn: LocalStream,
) -> None:
    ended = anyio.Event()
    grace = AbandonmentTimer(turn, 0.05, ended.set)
    grace.begin()
    turn.looked_at = anyio.current_time() + 60
    viewer = turn.follow(lambda: None)
    with anyio.move_on_after(0.2):
        await ended.wait()
    assert not ended.is_set()
    viewer.leave()
    turn.looked_at = anyio.current_time()
    with anyio.fail_after(5):
        await ended.wait()
