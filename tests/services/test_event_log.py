"""Every event log: all viewers get every frame once, in order, from wherever they begin."""

import anyio
import pytest

from app.errors import NotFound
from app.services.event_log import LocalEventLog

pytestmark = pytest.mark.anyio


@pytest.fixture
def event_log() -> LocalEventLog:
    event_log = LocalEventLog()
    event_log.open("t", "c")
    return event_log


async def collect(event_log: LocalEventLog, after: int, into: list[bytes]) -> None:
    async for frames in event_log.follow("t", after):
        into.append(frames)


async def test_viewers_that_come_early_late_and_after_the_end_get_the_same(
    event_log: LocalEventLog,
) -> None:
    viewers: list[list[bytes]] = [[], [], [], []]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, event_log, -1, viewers[0])
            await anyio.wait_all_tasks_blocked()
            event_log.append("t", [b"0"])
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(collect, event_log, -1, viewers[1])
            tasks.start_soon(collect, event_log, 1, viewers[2])
            await anyio.wait_all_tasks_blocked()
            event_log.append("t", [b"1", b"2"])
            event_log.append("t", [b"3"], last=True)
        await collect(event_log, -1, viewers[3])
    assert [b"".join(frames) for frames in viewers] == [b"0123", b"0123", b"23", b"0123"]
    assert viewers[3] == [b"0123"], "all that waits leaves at once"


async def test_a_viewer_that_goes_away_leaves_the_others_alone(event_log: LocalEventLog) -> None:
    gone: list[bytes] = []
    stayed: list[bytes] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, event_log, -1, stayed)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await collect(event_log, -1, gone)
            event_log.append("t", [b"0"], last=True)
    assert (gone, stayed) == ([], [b"0"])


async def test_an_unknown_or_dropped_turn_is_not_found(event_log: LocalEventLog) -> None:
    assert event_log.extent("t").frames == 0
    event_log.drop("t")
    event_log.drop("t")
    with pytest.raises(NotFound):
        event_log.extent("t")
    with pytest.raises(NotFound):
        event_log.follow("t")


async def test_whoever_follows_already_reads_to_the_end_of_a_dropped_turn(
    event_log: LocalEventLog,
) -> None:
    event_log.append("t", [b"0"], last=True)
    following = event_log.follow("t")
    event_log.drop("t")
    assert [frames async for frames in following] == [b"0"]
