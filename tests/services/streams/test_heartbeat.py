"""Silent streams ping, stuck ones give up, and nothing ticks where there are none."""

import asyncio

import anyio
import pytest

from app.services.streams.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio


class Stream:
    """A stream that pings, and tells of it; one that is stuck gives up, and stays as it is."""

    def __init__(self, *, sending: bool = False, silent: float = 0.0) -> None:
        self.sending, self.silent = sending, silent
        self.pings = self.given_up = 0
        self.told = anyio.Event()

    def ping(self) -> None:
        self.silent = 0.0
        self.pings += 1
        self.told.set()

    def give_up(self) -> None:
        self.given_up += 1
        self.told.set()


async def test_a_silent_stream_pings_again_and_again() -> None:
    heartbeat = Heartbeat(every=0.02, send_timeout=60, look=lambda: None)
    stream = Stream()
    with anyio.fail_after(5), heartbeat.watching(stream):
        for _ in range(3):
            stream.told = anyio.Event()
            await stream.told.wait()
    assert (stream.pings, stream.given_up) == (3, 0)


async def test_a_send_that_takes_too_long_is_given_up_and_costs_no_other_its_ping() -> None:
    heartbeat = Heartbeat(every=0.05, send_timeout=0.05, look=lambda: None)
    stuck, silent = Stream(sending=True), Stream()
    began = anyio.current_time()
    with anyio.fail_after(5), heartbeat.watching(stuck), heartbeat.watching(silent):
        await stuck.told.wait()
        await silent.told.wait()
    assert anyio.current_time() - began >= 0.05
    assert stuck.pings == silent.given_up == 0


async def test_a_send_that_only_came_after_a_long_silence_is_left_alone() -> None:
    looks = anyio.Event()
    heartbeat = Heartbeat(every=60, send_timeout=2.0, look=looks.set)
    stream = Stream(silent=100.0)
    with anyio.fail_after(5), heartbeat.watching(stream):
        stream.sending, stream.silent = True, 0.0
        await looks.wait()
    assert (stream.pings, stream.given_up) == (0, 0)


async def test_nothing_ticks_when_no_stream_is_open() -> None:
    looks: list[float] = []
    looked = anyio.Event()

    def look() -> None:
        looks.append(asyncio.get_running_loop().time())
        looked.set()

    heartbeat = Heartbeat(every=0.04, send_timeout=60, look=look)
    with anyio.fail_after(5), heartbeat.watching(Stream()):
        await looked.wait()
    with anyio.move_on_after(0.1):
        await anyio.sleep_forever()
    # The one that was under way when the last stream closed, at most.
    assert len(looks) <= 2
