"""The loop that synchronizes streams with Redis.

A worker does the Redis work of all its streams in one round trip every 100 ms, while it has any: no
stream or viewer needs a connection or a task of its own.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from app.infra.redis import RedisClient, drop_idle_connections
from app.services.streams.batch import Batch
from app.services.streams.grace import Grace
from app.services.streams.keys import lease_key, stop_key
from app.services.streams.local import LocalStream
from app.services.streams.remote import RemoteStream

log = logging.getLogger(__name__)

# Seconds between two round trips, and between two attempts while Redis is unavailable.
SYNC_INTERVAL, RETRY_INTERVAL = 0.1, 0.5
# The approximate maximum of bytes written in one round trip, which an outage would exceed.
MAX_BYTES = 4 << 20
# Stop requests processed in one round trip: a script passes a command some thousand arguments.
MAX_STOPS = 1_000
# Seconds for the last frames to be logged when the worker shuts down.
FLUSH_TIMEOUT = 5.0
# Milliseconds for which viewers are reported beyond the grace time, since a round trip may be late.
VIEWERS_MARGIN_MS = 1_000


class LogSync:
    """Writes the streams that this worker runs, and reads those that have viewers on it.

    `lease` is how long a worker that does not renew its lease counts as alive, in seconds.
    `on_lost` is called with a stream whose worker died. `on_sync` may add commands to each round
    trip.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        lease: float,
        grace: Grace,
        on_lost: Callable[[RemoteStream], None],
        on_sync: Callable[[Batch], None],
    ) -> None:
        self.worker = f"w_{secrets.token_hex(8)}"
        self.local: dict[str, LocalStream] = {}
        self.remote: dict[str, RemoteStream] = {}
        # Round trips that succeeded and that failed.
        self.succeeded = 0
        self.failed = 0
        self._redis = redis
        self._lease_ms = round(lease * 1_000)
        self._grace = grace
        self._on_lost = on_lost
        self._on_sync = on_sync
        self._renewals = 0
        # Local streams that no round trip has written yet.
        self._new: list[LocalStream] = []
        self._handled_stops: tuple[str, ...] = ()
        self._has_streams = anyio.Event()
        self._wake = asyncio.Event()
        self._redis_available = True
        self._lock = asyncio.Lock()

    def add_local(self, stream: LocalStream) -> None:
        """Log a stream: immediately, so that other workers find it, then with each round trip."""
        self.local[stream.stream_id] = stream
        self._new.append(stream)
        self._wake.set()
        self._has_streams.set()

    def add_remote(self, stream: RemoteStream) -> RemoteStream:
        """Start to read a stream's log; return the stream that is being read already, if any."""
        self._has_streams.set()
        return self.remote.setdefault(stream.stream_id, stream)

    async def run(self) -> None:
        """Run the loop for ever; it pauses while there are no streams."""
        while True:
            await self._has_streams.wait()
            available = await self._guard(self.sync)
            if not self.local and not self.remote:
                self._has_streams = anyio.Event()
            await self._wait(SYNC_INTERVAL if available else RETRY_INTERVAL)

    async def flush(self) -> None:
        """Wait until all streams that have ended are logged, up to FLUSH_TIMEOUT."""
        with anyio.move_on_after(FLUSH_TIMEOUT):
            while self.local and await self._guard(self.sync):
                pass

    async def sync(self) -> bool:
        """Do one round trip for all streams; return whether every command succeeded."""
        async with self._lock:
            if not self._redis_available and not await self._batch().execute():
                # Redis is still unavailable: encoding frames would be wasted work.
                await drop_idle_connections(self._redis)
                return False
            now = asyncio.get_running_loop().time()
            batch = self._batch()
            batch.add("SMEMBERS", stop_key(self.worker), on_reply=self._on_stops)
            if self._handled_stops:
                batch.add("SREM", stop_key(self.worker), *self._handled_stops)
                self._handled_stops = ()
            room = MAX_BYTES
            for local in self.local.values():
                if room > 0:
                    room -= local.write(batch, now)
            for remote in self.remote.values():
                viewers_ttl = round(self._grace.of(remote) * 1_000) + VIEWERS_MARGIN_MS
                remote.poll(batch, now, viewers_ttl)
            self._on_sync(batch)
            self._new.clear()
            succeeded = await batch.execute()
            if succeeded and room > 0:
                # A reader that sees the new value knows that all streams were written before.
                self._renewals += 1
            self._remove_finished(now)
        return succeeded

    def _batch(self) -> Batch:
        """Return a batch that renews the worker's lease."""
        batch = Batch(self._redis)
        batch.add("SET", lease_key(self.worker), self._renewals, "PX", self._lease_ms)
        return batch

    async def _guard(self, sync: Callable[[], Awaitable[bool]]) -> bool:
        try:
            available = await sync()
        except Exception:
            # A bug in one stream must not stop the synchronization of all others.
            log.exception("stream log sync failed")
            available = False
        self.succeeded += available
        self.failed += not available
        if available != self._redis_available:
            self._redis_available = available
            if available:
                log.info("stream log sync recovered")
            else:
                log.warning("streams are not logged: Redis is unavailable or returned errors")
        return available

    async def _wait(self, seconds: float) -> None:
        """Sleep until the next round trip; write new streams in the meantime."""
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            self._wake.set()

        # `asyncio.timeout` would take five times the 20,000 instructions of a timer.
        timer = asyncio.get_running_loop().call_later(seconds, expire)
        try:
            while not expired:
                await self._wake.wait()
                self._wake.clear()
                was_available = self._redis_available
                if self._new and await self._guard(self._write_new) and not was_available:
                    return
        finally:
            timer.cancel()

    async def _write_new(self) -> bool:
        async with self._lock:
            if not self._new:
                return self._redis_available
            now = asyncio.get_running_loop().time()
            batch = self._batch()
            for stream in self._new:
                stream.write(batch, now)
            self._new.clear()
            return await batch.execute()

    def _remove_finished(self, now: float) -> None:
        for local in [local for local in self.local.values() if local.fully_logged]:
            del self.local[local.stream_id]
        for remote in [remote for remote in self.remote.values() if remote.is_idle(now)]:
            del self.remote[remote.stream_id]
        for remote in [remote for remote in self.remote.values() if remote.lost]:
            del self.remote[remote.stream_id]
            self._on_lost(remote)

    def _on_stops(self, reply: Any) -> None:
        if isinstance(reply, set | list):
            self._handled_stops = tuple(stream_id.decode() for stream_id in reply)[:MAX_STOPS]
            for stream_id in self._handled_stops:
                if stream := self.local.get(stream_id):
                    stream.on_stop()
