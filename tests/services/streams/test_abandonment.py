"""Tests of the timer that ends streams without viewers."""

import anyio
import pytest

from app.services.streams import AbandonmentTimer, Grace, LocalStream
from app.services.streams.log_format import Header

pytestmark = pytest.mark.anyio


@pytest.fixture
def stream() -> LocalStream:
    return LocalStream("s", Header("", "w"), replay=60, on_stop=lambda: None)


async def test_timer_expires_when_no_other_worker_has_viewers(stream: LocalStream) -> None:
    expired = anyio.Event()
    AbandonmentTimer(stream, Grace(0.05), expired.set).restart()
    stream.remote_viewers_checked_at = anyio.current_time()
    with anyio.fail_after(5):
        await expired.wait()


async def test_timer_waits_for_a_recent_check_of_other_workers(stream: LocalStream) -> None:
    # The worker was delayed: viewers may have arrived elsewhere since the last check.
    expired = anyio.Event()
    AbandonmentTimer(stream, Grace(0.01), expired.set).restart()
    stream.remote_viewers_checked_at = anyio.current_time() - 3
    with anyio.move_on_after(0.2):
        await expired.wait()
    assert not expired.is_set()
    stream.remote_viewers_checked_at = anyio.current_time()
    with anyio.fail_after(5):
        await expired.wait()


async def test_timer_does_not_expire_while_another_worker_has_viewers(stream: LocalStream) -> None:
    expired = anyio.Event()
    AbandonmentTimer(stream, Grace(0.01), expired.set).restart()
    stream.remote_viewers_checked_at = anyio.current_time() + 60
    stream.remote_viewers_until = until = anyio.current_time() + 0.2
    with anyio.fail_after(5):
        await expired.wait()
    assert anyio.current_time() >= until


async def test_a_viewer_stops_the_timer_and_the_last_to_leave_restarts_it(
    stream: LocalStream,
) -> None:
    expired = anyio.Event()
    timer = AbandonmentTimer(stream, Grace(0.05), expired.set)
    timer.restart()
    stream.remote_viewers_checked_at = anyio.current_time() + 60
    with stream.follow():
        with anyio.move_on_after(0.2):
            await expired.wait()
        assert not expired.is_set()
    stream.remote_viewers_checked_at = anyio.current_time()
    with anyio.fail_after(5):
        await expired.wait()
