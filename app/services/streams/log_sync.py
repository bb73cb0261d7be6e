"""Turns and mirrors come in; ten times a second they are written to Redis and read from it.

All work of a worker is one round trip, a tick, and only while there is any: no viewer and no turn
has a connection or a task of its own.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

import anyio

from app.infra.redis import RedisClient, drop_idle_connections
from app.services.streams.batch import Batch, ignore, lease_key, stop_key
from app.services.streams.local import LocalStream
from app.services.streams.remote import RemoteStream

log = logging.getLogger(__name__)

# Seconds from one tick to the next; and more where Redis does not answer.
TICK, REST = 0.1, 0.5
# Bytes of logs in one round trip, about: after an outage there may be much to write.
MAX_BYTES = 4 << 20
# Turns that are taken from those to stop in one tick: a script gives a command some thousand words.
MAX_STOPS = 1_000
# Seconds for what has ended to be logged when the worker ends.
FLUSH_LIMIT = 5.0
# Milliseconds for which a viewer elsewhere counts beyond the grace time: ticks may be late.
MARGIN = 1_000

_TOLD = {
    True: (logging.INFO, "streams are logged again"),
    False: (logging.WARNING, "streams are not logged: Redis does not answer, or not as it should"),
}


class LogSync:
    """The turns that this worker runs, and the mirrors of those that it only reads.

    `lease` and `grace` are in seconds: how long a worker that gives no sign counts as alive, and
    how long a turn may go unwatched. `end_lost` ends a mirror whose turn's worker died.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        lease: float,
        grace: float,
        end_lost: Callable[[RemoteStream], None],
    ) -> None:
        self.worker = f"w_{secrets.token_hex(8)}"
        self.turns: dict[str, LocalStream] = {}
        self.mirrors: dict[str, RemoteStream] = {}
        # Called with the id of a turn that another worker wants stopped.
        self.on_stop: Callable[[str], None] = ignore
        # How often Redis was written to, and how often in vain.
        self.done = 0
        self.failed = 0
        self._redis = redis
        self._lease = round(lease * 1_000)
        self._watched_for = round(grace * 1_000) + MARGIN
        self._end_lost = end_lost
        self._beat = 0
        self._fresh: list[LocalStream] = []
        self._stopped: tuple[str, ...] = ()
        self._work = anyio.Event()
        self._begun = asyncio.Event()
        self._works = True
        self._ticking = asyncio.Lock()

    def add(self, turn: LocalStream) -> None:
        """Log a turn from now on: at once, so that other workers find it, then with each tick."""
        self.turns[turn.turn_id] = turn
        self._fresh.append(turn)
        self._begun.set()
        self._work.set()

    def mirror(self, mirror: RemoteStream) -> RemoteStream:
        """Read a turn from now on; returns the mirror of it that there is already, if there is."""
        self._work.set()
        return self.mirrors.setdefault(mirror.turn_id, mirror)

    async def run(self) -> None:
        """Tick for ever, but only while there is something to do."""
        while True:
            await self._work.wait()
            works = await self._try(self.tick)
            if not self.turns and not self.mirrors:
                self._work = anyio.Event()
            await self._rest(TICK if works else REST)

    async def flush(self) -> None:
        """Wait until all that has ended is logged, for as long as that may take."""
        with anyio.move_on_after(FLUSH_LIMIT):
            while self.turns and await self._try(self.tick):
                pass

    async def tick(self) -> bool:
        """Write and read all there is to write and to read; tell whether Redis answered."""
        async with self._ticking:
            if not self._works and not await self._batch().execute():
                # Nothing is made ready in vain.
                await drop_idle_connections(self._redis)
                return False
            now = asyncio.get_running_loop().time()
            batch = self._batch()
            batch.add(self._stop, "SMEMBERS", stop_key(self.worker))
            if self._stopped:
                batch.add(ignore, "SREM", stop_key(self.worker), *self._stopped)
                self._stopped = ()
            room = MAX_BYTES
            for turn in self.turns.values():
                if room > 0:
                    room -= turn.write(batch, now)
            for mirror in self.mirrors.values():
                mirror.read(batch, now, self._watched_for)
            self._fresh.clear()
            works = await batch.execute()
            if works and room > 0:
                # Whoever sees it change knows that all turns were written before.
                self._beat += 1
            self._sort_out(now)
        return works

    def _batch(self) -> Batch:
        """Begin a batch with the worker's sign of life."""
        batch = Batch(self._redis)
        batch.add(ignore, "SET", lease_key(self.worker), self._beat, "PX", self._lease)
        return batch

    async def _try(self, what: Callable[[], Any]) -> bool:
        try:
            works: bool = await what()
        except Exception:
            # Whatever is wrong with one turn's log, all other streams depend on these ticks.
            log.exception("a tick broke")
            works = False
        self.done += works
        self.failed += not works
        if works != self._works:
            self._works = works
            log.log(*_TOLD[works])
        return works

    async def _rest(self, seconds: float) -> None:
        """Wait for the next tick; turns that begin meanwhile do not wait with it."""
        over = False

        def end() -> None:
            nonlocal over
            over = True
            self._begun.set()

        # A timer costs a fifth of what a time limit does: 20,000 instructions a tick.
        timer = asyncio.get_running_loop().call_later(seconds, end)
        try:
            while not over:
                await self._begun.wait()
                self._begun.clear()
                worked = self._works
                if self._fresh and await self._try(self._write_fresh) and not worked:
                    return
        finally:
            timer.cancel()

    async def _write_fresh(self) -> bool:
        async with self._ticking:
            if not self._fresh:
                return self._works
            now = asyncio.get_running_loop().time()
            batch = self._batch()
            for turn in self._fresh:
                turn.write(batch, now)
            self._fresh.clear()
            return await batch.execute()

    def _sort_out(self, now: float) -> None:
        """Drop what is done with, and end what is lost."""
        for turn in [turn for turn in self.turns.values() if turn.complete]:
            del self.turns[turn.turn_id]
        for mirror in [mirror for mirror in self.mirrors.values() if mirror.idle(now)]:
            del self.mirrors[mirror.turn_id]
        for mirror in [mirror for mirror in self.mirrors.values() if mirror.lost]:
            del self.mirrors[mirror.turn_id]
            self._end_lost(mirror)

    def _stop(self, reply: Any) -> None:
        if isinstance(reply, set | list):
            self._stopped = tuple(turn_id.decode() for turn_id in reply)[:MAX_STOPS]
            for turn_id in self._stopped:
                self.on_stop(turn_id)
