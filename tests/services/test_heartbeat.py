"""Silent streams are nudged, stuck ones are ended, and nothing ticks where there are none."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from app.services.event_log import Frames
from app.services.event_log.records import Header
from app.services.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio


async def test_a_silent_viewer_is_nudged_again_and_again() -> None:
    heartbeat = Heartbeat(every=0.02, send_timeout=60, look=lambda: None)
    viewer = Frames("t", Header("c", "w")).follow()
    with anyio.fail_after(5), heartbeat.stream(viewer) as stream:
        for _ in range(3):
            assert await anext(viewer) == b""
            stream.silent = 0.0
    viewer.leave()


async def test_a_send_that_takes_too_long_is_ended() -> None:
    heartbeat = Heartbeat(every=60, send_timeout=0.05, look=lambda: None)
    viewer = Frames("t", Header("c", "w")).follow()
    began = anyio.current_time()
    with anyio.fail_after(5), heartbeat.stream(viewer) as stream:
        try:
            async with stream.limit:
                stream.sending = True
                await anyio.sleep_forever()
        except TimeoutError:
            assert stream.limit.expired()
    assert anyio.current_time() - began >= 0.05
    viewer.leave()


async def test_a_send_that_only_came_after_a_long_silence_is_left_alone() -> None:
    looks = anyio.Event()
    heartbeat = Heartbeat(every=60, send_timeout=2.0, look=looks.set)
    viewer = Frames("t", Header("c", "w")).follow()
    with anyio.fail_after(5), heartbeat.stream(viewer) as stream:
        async with stream.limit:
            # It was silent for long, and begins to send now.
            stream.silent = 100.0
            stream.sending, stream.silent = True, 0.0
            await looks.wait()
            assert not stream.limit.expired()
    viewer.leave()


async def test_nothing_ticks_when_no_stream_is_open() -> None:
    looks: list[float] = []
    looked = anyio.Event()

    def look() -> None:
        looks.append(asyncio.get_running_loop().time())
        looked.set()

    heartbeat = Heartbeat(every=0.04, send_timeout=60, look=look)
    viewer = Frames("t", Header("c", "w")).follow()
    with anyio.fail_after(5), heartbeat.stream(viewer):
        await looked.wait()
    viewer.leave()
    with anyio.move_on_after(0.1):
        await anyio.sleep_forever()
    # The one that was under way when the last stream closed, at most.
    assert len(looks) <= 2


async def test_a_send_that_is_slow_to_end_costs_no_other_stream_its_heartbeat() -> None:
    heartbeat = Heartbeat(every=0.02, send_timeout=0.02, look=lambda: None)
    stuck, silent = (Frames("t", Header("c", "w")).follow() for _ in range(2))

    async def send() -> None:
        async with stream.limit:
            stream.sending = True
            try:
                await anyio.sleep_forever()
            finally:
                # It was told to end, and beats go on meanwhile.
                for _ in range(3):
                    assert await anext(silent) == b""

    with (
        anyio.fail_after(5),
        heartbeat.stream(stuck) as stream,
        heartbeat.stream(silent),
        pytest.raises(TimeoutError),
    ):
        await send()
    stuck.leave()
    silent.leave()
