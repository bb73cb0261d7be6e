"""The frames of turns come in; anyone may read a turn on any worker, while it runs and after.

A turn that this worker runs is read from memory, and logged in Redis; one that another worker runs
is mirrored from there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from app.errors import NotFound, Unavailable
from app.infra.redis import REDIS_ERRORS, RedisClient
from app.services.streams.batch import lease_key, log_key, stop_key
from app.services.streams.buffer import StreamBuffer
from app.services.streams.local import MIN_EXPIRY, LocalStream
from app.services.streams.log_format import Header, decode_header
from app.services.streams.log_sync import TICK, LogSync
from app.services.streams.remote import PATIENCE, RemoteStream

log = logging.getLogger(__name__)

# Seconds that a request to stop a turn is kept for its worker.
STOP_EXPIRY = 60
# How many turns are looked up at a time: each takes a connection.
MAX_LOOKS = 20
# So many events at most may a viewer have seen that its dead worker did not log.
MAX_UNLOGGED = 10_000
# Seconds for a worker that lives to show that it has logged what it had to say.
SETTLING = 1.0
# A number that no event has: whoever waits for it waits for all that is said by now.
NEVER = 1 << 62
UNREADABLE = "Streams cannot be looked up at the moment. Try again."

# KEYS[1] the turns that a worker is to stop · ARGV[1] one more · ARGV[2] the expiry in seconds.
STOP = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class EventStore:
    """All logs, as one worker sees them; `run` has to run for as long as it is used.

    `ticking` is a client for the ticks alone, so that no other command holds them up. `lease`,
    `grace` and `replay` are in seconds: how long a worker that gives no sign counts as alive, how
    long a turn may go unwatched, and how long an ended one can be read. `lost(turn_id, number)`
    makes the frame that ends a turn whose worker died.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        ticking: RedisClient,
        lease: float,
        grace: float,
        replay: float,
        lost: Callable[[str, int], bytes],
    ) -> None:
        self._redis = redis
        self._lease = lease
        self._replay = replay
        self._lost = lost
        # Workers that were found dead, and when: the next of their turns need not be waited for.
        self._dead: dict[str, float] = {}
        self._looks = asyncio.Semaphore(MAX_LOOKS)
        self._ticks = LogSync(ticking, lease=lease, grace=grace, end_lost=self._end_lost)
        self.worker = self._ticks.worker
        self.run = self._ticks.run
        self.flush = self._ticks.flush

    def on_stop(self, stop: Callable[[str], None]) -> None:
        """Have this called with the id of a turn that another worker wants stopped."""
        self._ticks.on_stop = stop

    def begin(self, turn_id: str, conversation_id: str) -> LocalStream:
        """Begin the log of a turn that this worker runs."""
        header = Header(conversation_id, self.worker)
        turn = LocalStream(turn_id, header, replay=self._replay)
        self._ticks.add(turn)
        return turn

    async def open(self, turn_id: str, after: int = -1) -> StreamBuffer:
        """Find a turn, on whichever worker it runs or ran; raises NotFound and Unavailable.

        What is returned has all frames that are logged by now, and grows as long as it is followed.
        A viewer that has seen event `after` on the turn's own worker may know more than the log:
        then this waits for it.
        """
        turn = await self._find(turn_id, after)
        if after >= len(turn.frames):
            turn = await self._up_to_date(turn, after)
        return turn

    async def settled(self, turn_id: str) -> StreamBuffer:
        """Find a turn as `open` does; one that ended before this was called has ended.

        Unless its worker gives no sign of life: then it counts as running until it is lost.
        """
        turn = await self._find(turn_id, -1)
        with anyio.move_on_after(SETTLING):
            return await self._up_to_date(turn, NEVER)
        return turn

    async def stop(self, turn_id: str) -> None:
        """Have the turn's worker stop it, if it still runs; raises NotFound and Unavailable."""
        turn = await self._find(turn_id, -1)
        if turn.ended:
            return
        key = stop_key(turn.header.worker)
        with redis_answers():
            await self._redis.eval(STOP, 1, key, turn_id, STOP_EXPIRY)

    @property
    def remote_viewers(self) -> int:
        """How many viewers here follow turns of other workers."""
        return sum(mirror.viewers for mirror in self._ticks.mirrors.values())

    @property
    def viewers(self) -> int:
        """How many viewers here follow turns that run, wherever they do."""
        return sum(turn.viewers for turn in self._ticks.turns.values()) + self.remote_viewers

    @property
    def writes(self) -> int:
        """How often what was new went to Redis, so far."""
        return self._ticks.done

    @property
    def failed_writes(self) -> int:
        """How often that failed, so far."""
        return self._ticks.failed

    def cut_remote_viewers(self) -> None:
        """End the reading of turns of other workers: their viewers may come back elsewhere."""
        for mirror in self._ticks.mirrors.values():
            mirror.cut()

    async def _up_to_date(self, turn: StreamBuffer, after: int) -> StreamBuffer:
        """Wait until event `after` is there, or all that the turn's worker has said by now."""
        if turn.ended or not isinstance(turn, RemoteStream):
            return turn
        with anyio.move_on_after(self._lease + 2 * PATIENCE) as limit:
            await turn.caught_up(after)
        if limit.cancelled_caught:
            raise Unavailable(UNREADABLE)
        # It may have ended by the loss of its worker, which each viewer is told in its place.
        return await self._find(turn.turn_id, after) if turn.ended else turn

    async def _find(self, turn_id: str, after: int) -> StreamBuffer:
        if turn := self._ticks.turns.get(turn_id):
            return turn
        if mirror := self._ticks.mirrors.get(turn_id):
            mirror.keep(asyncio.get_running_loop().time())
            return mirror
        mirror = await self._look(turn_id)
        if mirror is None:
            # It may have begun a moment ago.
            await asyncio.sleep(2 * TICK)
            mirror = await self._look(turn_id)
        if mirror is None:
            raise NotFound("There is no such stream, or it is no longer kept. Ask again.")
        if mirror.missing_since is not None and not self._is_dead(mirror.header.worker):
            await asyncio.sleep(PATIENCE)
            mirror = await self._look(turn_id) or mirror
        if mirror.missing_since is not None:
            self._end_lost(mirror, after)
        return mirror if mirror.ended else self._ticks.mirror(mirror)

    async def _look(self, turn_id: str) -> RemoteStream | None:
        """Read a turn's log once, and whether its worker lives."""
        async with self._looks:
            return await self._read(turn_id)

    async def _read(self, turn_id: str) -> RemoteStream | None:
        with redis_answers():
            whole = await self._redis.get(log_key(turn_id)) or b""
            assert isinstance(whole, bytes)  # noqa: S101 - the client decodes nothing
            found = decode_header(whole)
            if found is None:
                return None
            header, records = found
            now = asyncio.get_running_loop().time()
            mirror = RemoteStream(turn_id, header, now)
            mirror.take_records(records, len(whole))
            if not mirror.ended:
                mirror.lease_seen(now, await self._redis.get(lease_key(header.worker)))
                if mirror.missing_since is None:
                    self._dead.pop(header.worker, None)
        return mirror

    def _is_dead(self, worker: str) -> bool:
        long_ago = anyio.current_time() - MIN_EXPIRY
        self._dead = {it: since for it, since in self._dead.items() if since > long_ago}
        return worker in self._dead

    def _end_lost(self, mirror: RemoteStream, after: int = -1) -> None:
        """End a turn whose worker died; a viewer may have seen events that it did not log."""
        self._dead[mirror.header.worker] = anyio.current_time()
        missing = after + 1 - len(mirror.frames)
        missing = missing if 0 < missing <= MAX_UNLOGGED else 0
        mirror.add([b""] * missing)
        last = self._lost(mirror.turn_id, len(mirror.frames))
        mirror.add([last], ended=True, failed=True)


@contextmanager
def redis_answers() -> Iterator[None]:
    """Turn the errors of Redis within the block into Unavailable."""
    try:
        yield
    except REDIS_ERRORS as error:
        log.warning("a stream cannot be looked up: %s", type(error).__name__)
        raise Unavailable(UNREADABLE) from error
