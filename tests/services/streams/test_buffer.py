"""All viewers of a turn get every frame once, in order, from wherever they begin."""

import weakref

import anyio
import pytest

from app.services.streams.buffer import MAX_AT_ONCE, ReconnectElsewhere, StreamBuffer
from app.services.streams.log_format import Header
from tests.services.streams.following import following

pytestmark = pytest.mark.anyio


@pytest.fixture
def turn() -> StreamBuffer:
    return StreamBuffer("t", Header("c", "w"))


async def collect(turn: StreamBuffer, after: int, into: list[bytes]) -> None:
    async for frames in following(turn, after):
        into.append(frames)


async def test_viewers_that_come_early_late_and_after_the_end_get_the_same(
    turn: StreamBuffer,
) -> None:
    viewers: list[list[bytes]] = [[], [], [], []]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, turn, -1, viewers[0])
            await anyio.wait_all_tasks_blocked()
            turn.add([b"0"])
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(collect, turn, -1, viewers[1])
            tasks.start_soon(collect, turn, 1, viewers[2])
            await anyio.wait_all_tasks_blocked()
            turn.add([b"1", b"2"])
            turn.add([b"3"], ended=True)
        await collect(turn, -1, viewers[3])
    assert [b"".join(frames) for frames in viewers] == [b"0123", b"0123", b"23", b"0123"]
    assert viewers[3] == [b"0123"], "all that waits leaves at once"


async def test_one_send_holds_no_more_than_so_many_frames(turn: StreamBuffer) -> None:
    turn.add([b"."] * (2 * MAX_AT_ONCE + 1), ended=True)
    sends: list[bytes] = []
    await collect(turn, -1, sends)
    assert [len(send) for send in sends] == [MAX_AT_ONCE, MAX_AT_ONCE, 1]


async def test_a_viewer_that_goes_away_leaves_the_others_alone(turn: StreamBuffer) -> None:
    gone: list[bytes] = []
    stayed: list[bytes] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, turn, -1, stayed)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await collect(turn, -1, gone)
            turn.add([b"0"], ended=True)
    assert (gone, stayed) == ([], [b"0"])


async def test_the_first_to_come_and_the_last_to_go_are_told_of(turn: StreamBuffer) -> None:
    told: list[str] = []
    turn.on_watched = lambda: told.append("watched")
    turn.on_unwatched = lambda: told.append("unwatched")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(collect, turn, -1, [])
            await anyio.wait_all_tasks_blocked()
            assert (turn.viewers, told) == (2, ["watched"])
            tasks.cancel_scope.cancel()
    assert (turn.viewers, told) == (0, ["watched", "unwatched"])


async def test_viewers_that_are_sent_away_have_had_what_is_there(turn: StreamBuffer) -> None:
    seen: list[bytes] = []

    async def watch() -> None:
        with pytest.raises(ReconnectElsewhere):
            await collect(turn, -1, seen)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            turn.add([b"0"])
            turn.cut()
    assert seen == [b"0"]


def test_what_comes_is_there_in_the_call_that_tells_of_it(turn: StreamBuffer) -> None:
    seen: list[bytes] = []
    viewer = turn.follow(lambda: seen.append(viewer.take()))
    turn.append(b"0")
    turn.add([b"1", b"2"])
    assert (seen, viewer.over) == ([b"0", b"12"], False)
    turn.add([b"3"], ended=True)
    assert (seen, viewer.over) == ([b"0", b"12", b"3"], True)


def test_one_that_leaves_when_it_looks_is_told_no_more_and_the_others_are(
    turn: StreamBuffer,
) -> None:
    looks: list[str] = []

    def look_and_leave() -> None:
        looks.append("leaves")
        leaving.leave()
        leaving.leave()

    leaving = turn.follow(look_and_leave)
    turn.follow(lambda: looks.append("stays"))
    turn.append(b"0")
    turn.append(b"1")
    assert (looks, turn.viewers) == (["leaves", "stays", "stays"], 1)


def test_one_that_has_left_holds_nobody(turn: StreamBuffer) -> None:
    class Looker:
        def __init__(self) -> None:
            self.viewer = turn.follow(self.look)

        def look(self) -> None:
            return None

    looker = Looker()
    gone = weakref.ref(looker)
    looker.viewer.leave()
    del looker
    assert gone() is None
