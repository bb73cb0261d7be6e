"""Tests of stream buffers and their viewers."""

import anyio
import pytest

from app.services.streams import ReconnectElsewhere, StreamBuffer
from app.services.streams.buffer import MAX_FRAMES_PER_ITEM
from app.services.streams.log_format import Header
from tests.services.streams.workers import items

pytestmark = pytest.mark.anyio


@pytest.fixture
def stream() -> StreamBuffer:
    return StreamBuffer("s", Header("", "w"))


async def collect(stream: StreamBuffer, after: int, into: list[bytes]) -> None:
    async for item in items(stream, after):
        into.append(item)


async def test_early_late_and_replaying_viewers_read_each_frame_once(stream: StreamBuffer) -> None:
    viewers: list[list[bytes]] = [[], [], [], []]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, stream, -1, viewers[0])
            await anyio.wait_all_tasks_blocked()
            stream.append(b"0")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(collect, stream, -1, viewers[1])
            tasks.start_soon(collect, stream, 1, viewers[2])
            await anyio.wait_all_tasks_blocked()
            stream.extend([b"1", b"2"])
            stream.extend([b"3"], ended=True)
        await collect(stream, -1, viewers[3])
    assert [b"".join(items) for items in viewers] == [b"0123", b"0123", b"23", b"0123"]


async def test_all_unread_frames_are_one_item(stream: StreamBuffer) -> None:
    stream.append(b"0")
    stream.extend([b"1", b"2"], ended=True)
    assert [item async for item in items(stream)] == [b"012"]


async def test_an_item_has_a_limited_number_of_frames(stream: StreamBuffer) -> None:
    stream.extend([b"."] * (2 * MAX_FRAMES_PER_ITEM + 1), ended=True)
    sizes = [len(item) async for item in items(stream)]
    assert sizes == [MAX_FRAMES_PER_ITEM, MAX_FRAMES_PER_ITEM, 1]


async def test_a_cancelled_viewer_does_not_affect_others(stream: StreamBuffer) -> None:
    cancelled: list[bytes] = []
    stayed: list[bytes] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, stream, -1, stayed)
            async with anyio.create_task_group() as others:
                others.start_soon(collect, stream, -1, cancelled)
                await anyio.wait_all_tasks_blocked()
                assert stream.viewers == 2
                others.cancel_scope.cancel()
            assert stream.viewers == 1
            stream.extend([b"0"], ended=True)
    assert (cancelled, stayed) == ([], [b"0"])


async def test_the_first_and_the_last_viewer_are_reported(stream: StreamBuffer) -> None:
    reported: list[int] = []
    stream.on_watched_changed = lambda: reported.append(stream.viewers)
    with stream.follow(), stream.follow():
        assert reported == [1]
    assert reported == [1, 0]


async def test_detached_viewers_get_the_frames_that_are_there(stream: StreamBuffer) -> None:
    seen: list[bytes] = []

    async def watch() -> None:
        with pytest.raises(ReconnectElsewhere):
            await collect(stream, -1, seen)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            stream.append(b"0")
            stream.detach_viewers()
    assert seen == [b"0"]


async def test_a_heartbeat_is_an_empty_item_for_a_waiting_viewer(stream: StreamBuffer) -> None:
    seen: list[bytes] = []
    with anyio.fail_after(5), stream.follow() as viewer:
        viewer.send_heartbeat()

        async def watch() -> None:
            async for item in viewer:
                seen.append(item)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            assert viewer.waiting
            viewer.send_heartbeat()
            await anyio.wait_all_tasks_blocked()
            stream.extend([b"0"], ended=True)
    assert seen == [b"", b"0"]
