"""Finds and creates streams on any worker.

Streams that this worker runs are read from memory and logged in Redis; streams of other workers are
read from their logs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from app.errors import NotFound, Unavailable
from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS, RedisClient
from app.services.streams.batch import Batch
from app.services.streams.buffer import StreamBuffer
from app.services.streams.grace import Grace
from app.services.streams.keys import lease_key, log_key, stop_key
from app.services.streams.local import MIN_EXPIRY, LocalStream
from app.services.streams.log_format import Header, decode_header
from app.services.streams.log_sync import SYNC_INTERVAL, LogSync
from app.services.streams.remote import LOST_TIMEOUT, RemoteStream

log = logging.getLogger(__name__)

# Seconds that a stop request is kept for the stream's worker.
STOP_EXPIRY = 60
# Logs that are loaded at the same time: each load takes a connection.
MAX_LOADS = 20
# The maximum number of frames that a viewer may have seen from a worker that died before logging
# them.
MAX_UNLOGGED = 10_000
# Seconds for a live worker to log what it has produced.
SETTLE_TIMEOUT = 1.0
# Larger than any frame's number: waiting for it waits for all frames produced by now.
NO_FRAME = 1 << 62
NOT_FOUND = "There is no such stream, or it has expired. Ask again."
UNAVAILABLE = "Streams cannot be read at the moment. Try again in a few seconds."

# KEYS[1] the stop requests of a worker · ARGV[1] a stream id · ARGV[2] the expiry in seconds
STOP = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class EventStore:
    """All streams, as one worker sees them. `run` must be running while it is used.

    `sync_redis` is a client for the sync loop alone, so that no other command delays it. `lease`
    and `replay` are in seconds: how long a worker that does not renew its lease counts as alive,
    and how long an ended stream can be read. `encode_lost(stream_id, number)` makes the last frame
    of a stream whose worker died. `on_sync` may add commands of others to the loop's round trips.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        sync_redis: RedisClient,
        lease: float,
        grace: Grace,
        replay: float,
        encode_lost: Callable[[str, int], bytes],
        on_sync: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        self._redis = redis
        self._lease = lease
        self._replay = replay
        self._encode_lost = encode_lost
        # When each dead worker was found dead: its other streams can be ended without waiting.
        self._dead_workers: dict[str, float] = {}
        self._loads = asyncio.Semaphore(MAX_LOADS)
        self._sync = LogSync(
            sync_redis, lease=lease, grace=grace, on_lost=self._end_lost, on_sync=on_sync
        )
        self.worker = self._sync.worker
        self.run = self._sync.run
        self.flush = self._sync.flush

    def create(
        self, stream_id: str, metadata: str, on_stop: Callable[[], None], *, owner: str = ""
    ) -> LocalStream:
        """Create a stream that this worker runs; see `Header` for `metadata` and `owner`.

        `on_stop` is called for each request to stop it, from any worker.
        """
        header = Header(metadata, self.worker, owner)
        stream = LocalStream(stream_id, header, replay=self._replay, on_stop=on_stop)
        self._sync.add_local(stream)
        return stream

    async def open(self, stream_id: str, after: int = -1, *, owner: str = "") -> StreamBuffer:
        """Find a stream of any worker; raises NotFound, also if it has another owner; Unavailable.

        The result has all logged frames, and gets new ones while it is followed. A viewer that was
        connected to the stream's own worker may have seen frames that are not logged yet: this
        waits for frame `after`.
        """
        stream = await self._find(stream_id, after, owner)
        if after >= len(stream.frames):
            stream = await self._catch_up(stream, after)
        return stream

    async def open_settled(self, stream_id: str, owner: str = "") -> StreamBuffer:
        """Find a stream like `open`; if it ended before this call, the result has ended too.

        A stream whose worker does not renew its lease counts as running until it is lost.
        """
        stream = await self._find(stream_id, -1, owner)
        with anyio.move_on_after(SETTLE_TIMEOUT):
            return await self._catch_up(stream, NO_FRAME)
        return stream

    async def stop(self, stream_id: str, *, owner: str = "") -> None:
        """Ask the stream's worker to stop it, unless it has ended; raises what `open` raises."""
        stream = await self._find(stream_id, -1, owner)
        if stream.ended:
            return
        if isinstance(stream, LocalStream):
            stream.on_stop()
            return
        with _unavailable_on_redis_error():
            await self._redis.eval(STOP, 1, stop_key(stream.header.worker), stream_id, STOP_EXPIRY)

    @property
    def remote_viewers(self) -> int:
        """The number of viewers here of streams of other workers."""
        return sum(stream.viewers for stream in self._sync.remote.values())

    @property
    def viewers(self) -> int:
        """The number of viewers here of streams that run on any worker."""
        return sum(stream.viewers for stream in self._sync.local.values()) + self.remote_viewers

    @property
    def writes(self) -> int:
        """The number of round trips to Redis that succeeded."""
        return self._sync.succeeded

    @property
    def failed_writes(self) -> int:
        """The number of round trips to Redis that failed."""
        return self._sync.failed

    def detach_remote_viewers(self) -> None:
        """Make the viewers of other workers' streams reconnect elsewhere."""
        for stream in self._sync.remote.values():
            stream.detach_viewers()

    async def _catch_up(self, stream: StreamBuffer, number: int) -> StreamBuffer:
        """Wait for frame `number`, or for all that the stream's worker has produced by now."""
        if stream.ended or not isinstance(stream, RemoteStream):
            return stream
        with anyio.move_on_after(self._lease + 2 * LOST_TIMEOUT) as timeout:
            await stream.wait_for(number)
        if timeout.cancelled_caught:
            raise Unavailable(UNAVAILABLE)
        # If its worker died meanwhile, the number of the last frame depends on what was seen.
        if not stream.ended:
            return stream
        return await self._find(stream.stream_id, number, stream.header.owner)

    async def _find(self, stream_id: str, after: int, owner: str) -> StreamBuffer:
        known = self._sync.local.get(stream_id) or self._sync.remote.get(stream_id)
        if known is not None:
            _check_owner(known, owner)
            if isinstance(known, RemoteStream):
                known.keep(asyncio.get_running_loop().time())
            return known
        stream = await self._load(stream_id)
        if stream is None:
            # It may have been created a moment ago.
            await asyncio.sleep(2 * SYNC_INTERVAL)
            stream = await self._load(stream_id)
        if stream is None:
            raise NotFound(NOT_FOUND)
        _check_owner(stream, owner)
        if stream.lease_missing_since is not None and not self._is_dead(stream.header.worker):
            await asyncio.sleep(LOST_TIMEOUT)
            stream = await self._load(stream_id) or stream
        if stream.lease_missing_since is not None:
            self._end_lost(stream, after)
        return stream if stream.ended else self._sync.add_remote(stream)

    async def _load(self, stream_id: str) -> RemoteStream | None:
        """Read a stream's log and its worker's lease once."""
        async with self._loads:
            with _unavailable_on_redis_error():
                encoded = await self._redis.get(log_key(stream_id)) or b""
                assert isinstance(encoded, bytes)  # noqa: S101 - the client decodes nothing
                decoded = decode_header(encoded)
                if decoded is None:
                    return None
                header, records = decoded
                now = asyncio.get_running_loop().time()
                stream = RemoteStream(stream_id, header, now)
                stream.add_records(records, len(encoded))
                if not stream.ended:
                    stream.on_lease(now, await self._redis.get(lease_key(header.worker)))
                    if stream.lease_missing_since is None:
                        self._dead_workers.pop(header.worker, None)
        return stream

    def _is_dead(self, worker: str) -> bool:
        oldest = anyio.current_time() - MIN_EXPIRY
        self._dead_workers = {w: at for w, at in self._dead_workers.items() if at > oldest}
        return worker in self._dead_workers

    def _end_lost(self, stream: RemoteStream, after: int = -1) -> None:
        """End a stream whose worker died, for a viewer that may have seen unlogged frames."""
        self._dead_workers[stream.header.worker] = anyio.current_time()
        missing = after + 1 - len(stream.frames)
        missing = missing if 0 < missing <= MAX_UNLOGGED else 0
        stream.extend([b""] * missing)
        last = self._encode_lost(stream.stream_id, len(stream.frames))
        stream.extend([last], ended=True, failed=True)


def _check_owner(stream: StreamBuffer, owner: str) -> None:
    if stream.header.owner != owner:
        raise NotFound(NOT_FOUND)


@contextmanager
def _unavailable_on_redis_error() -> Iterator[None]:
    try:
        yield
    except REDIS_ERRORS as error:
        log.warning("stream lookup failed: %s", describe(error))
        raise Unavailable(UNAVAILABLE) from error
