"""Runs producers of streams independently of connections."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeAlias

import anyio

from app.errors import ChatError, ShuttingDown, TurnLost, TurnRunning, Unavailable, Unprocessable
from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS
from app.logs import shortened_id
from app.services.streams.abandonment import AbandonmentTimer
from app.services.streams.buffer import StreamBuffer
from app.services.streams.event_store import EventStore
from app.services.streams.grace import Grace
from app.services.streams.idempotency import REDIS_TIMEOUT, IdempotencyKey, IdempotencyStore
from app.services.streams.local import LocalStream
from app.services.streams.remote import RemoteStream

log = logging.getLogger(__name__)

StopReason: TypeAlias = Literal["stopped", "abandoned", "shutdown"]

# Seconds between two checks of what a shutdown waits for.
POLL_INTERVAL = 0.05
FAILED = "The stream ended because of an internal error. Try again."
SHUTTING_DOWN = "The service is restarting. Try again in a few seconds."
FULL = "The service is at its limit of concurrent requests. Try again in a few seconds."


class Producer(Protocol):
    """Produces the frames of one stream."""

    async def produce(self, stream: LocalStream) -> None:
        """Add frames to the stream, the last one with `ended`.

        If it raises, the stream ends with an `error_frame`; an exception that is not a ChatError
        becomes TurnLost.
        """
        ...

    def stop(self, reason: StopReason) -> None:
        """Ask `produce` to end the stream soon; it may be called more than once."""
        ...

    def error_frame(self, number: int, error: ChatError) -> bytes:
        """Return the frame that ends the stream with an error."""
        ...

    def close(self) -> None:
        """Release resources: called once, also if `produce` is never called."""
        ...


class _Running:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.done = False
        # The finished stream that holds the idempotency key; this one is not produced then.
        self.existing: str | None = None
        # The error that `start` raises, if the stream has no frame.
        self.error: ChatError | None = None
        # The event loop holds only weak references to tasks.
        self.task: asyncio.Task[None] | None = None


class StreamRunner:
    """Runs at most `max_streams` producers at once, each in a task of its own.

    Times are in seconds: `drain_time` is how long streams may continue when the worker shuts down,
    `stop_timeout` how long they then have to end.
    """

    def __init__(
        self,
        *,
        event_store: EventStore,
        idempotency: IdempotencyStore,
        max_streams: int,
        grace: Grace,
        drain_time: float,
        stop_timeout: float = 5.0,
    ) -> None:
        self._store = event_store
        self._idempotency = idempotency
        self._max_streams = max_streams
        self._grace = grace
        self._drain_time = drain_time
        self._stop_timeout = stop_timeout
        self._drain_scope = anyio.CancelScope()
        self._running: dict[str, _Running] = {}
        # Set it to refuse new streams and shut down; `drained` is set when that is done.
        self.draining = anyio.Event()
        self.drained = anyio.Event()

    @property
    def running(self) -> int:
        """The number of running streams."""
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether the maximum number of streams is running."""
        return len(self._running) >= self._max_streams

    def admit(self) -> None:
        """Raise ShuttingDown or Unavailable if no new stream can start."""
        if self.draining.is_set():
            raise ShuttingDown(SHUTTING_DOWN)
        if self.full:
            raise Unavailable(FULL)

    async def start(
        self,
        producer: Producer,
        stream_id: str,
        *,
        metadata: str = "",
        owner: str = "",
        key: IdempotencyKey | None = None,
    ) -> str:
        """Start a stream and return its id once it has its first frame.

        If the idempotency key was used before, this returns the id of its finished stream. Raises
        TurnRunning, Unprocessable (the key belongs to another request), what `admit` raises, and
        whatever the producer raised before its first frame.
        """
        try:
            self.admit()
        except Unavailable:
            producer.close()
            raise
        running = _Running(producer)
        stream = self._store.create(
            stream_id, metadata, partial(producer.stop, "stopped"), owner=owner
        )
        abandonment = AbandonmentTimer(stream, self._grace, partial(producer.stop, "abandoned"))
        self._running[stream_id] = running
        # A task group would take 2 KiB more per stream; `drain` ends all tasks.
        running.task = asyncio.create_task(self._run(running, stream, abandonment, key))
        try:
            while not stream.frames and not running.done:
                await stream.wait_for_more()
        finally:
            # The caller follows the stream now, unless its client has disconnected.
            abandonment.restart()
        if running.error is not None:
            raise running.error
        return running.existing or stream_id

    async def find_repeated(self, key: IdempotencyKey) -> str | None:
        """Return the finished stream that a key belongs to, if any; raises what `start` raises."""
        try:
            return await self._idempotency.find(
                key, find=partial(self._store.open_settled, owner=key.owner)
            )
        except (Unavailable, *REDIS_ERRORS):
            return None

    async def open(self, stream_id: str, after: int = -1, *, owner: str = "") -> StreamBuffer:
        """Find a stream, to follow it after a frame.

        Raises NotFound, also if it has another owner, Unavailable, and ShuttingDown if the caller
        should use another worker.
        """
        stream = await self._store.open(stream_id, after, owner=owner)
        if self.draining.is_set() and not stream.ended and isinstance(stream, RemoteStream):
            raise ShuttingDown(SHUTTING_DOWN)
        return stream

    async def stop(self, stream_id: str, *, owner: str = "") -> None:
        """End a stream early, unless it has ended; raises NotFound and Unavailable."""
        await self._store.stop(stream_id, owner=owner)

    async def drain(self) -> None:
        """Wait until `draining` is set, then for streams and viewers, and end those that remain.

        Viewers of other workers' streams are disconnected without an event, so that they resume
        elsewhere.
        """
        await self.draining.wait()
        self._drain_scope.deadline = anyio.current_time() + self._drain_time
        with self._drain_scope:
            await _until(lambda: not self._running and not self._store.remote_viewers)
        self._store.detach_remote_viewers()
        for running in self._running.values():
            running.producer.stop("shutdown")
        with anyio.move_on_after(self._stop_timeout):
            await _until(lambda: not self._running)
        while self._running:
            # Repeated, since a producer may suppress a cancellation.
            for running in self._running.values():
                if running.task is not None:
                    running.task.cancel()
            await anyio.sleep(POLL_INTERVAL)
        await self._store.flush()
        self.drained.set()

    def shutdown_now(self) -> None:
        """Shut down without waiting for streams to end."""
        self.draining.set()
        self._drain_scope.cancel()

    async def _run(
        self,
        running: _Running,
        stream: LocalStream,
        abandonment: AbandonmentTimer,
        key: IdempotencyKey | None,
    ) -> None:
        error: ChatError | None = None
        try:
            if key is None or await self._claim(running, stream, key):
                await running.producer.produce(stream)
        except ChatError as raised:
            error = raised
        except asyncio.CancelledError:
            # Only `drain` cancels the task.
            error = ShuttingDown(SHUTTING_DOWN)
        except Exception:
            log.exception("stream %s failed", shortened_id(stream.stream_id))
            error = TurnLost(FAILED)
        try:
            self._end(running, stream, error)
        except Exception:
            log.exception("stream %s has no last frame", shortened_id(stream.stream_id))
            running.error = running.error or TurnLost(FAILED)
            stream.detach_viewers()
            stream.discard()
        finally:
            running.done = True
            del self._running[stream.stream_id]
            # Before the caller and the viewers notice the end.
            running.producer.close()
            stream.wake()
            abandonment.close()

    def _end(self, running: _Running, stream: LocalStream, error: ChatError | None) -> None:
        if error is None and running.existing is None and not stream.ended:
            log.error("stream %s was not ended by its producer", shortened_id(stream.stream_id))
            error = TurnLost(FAILED)
        if error is not None and not stream.frames:
            running.error = error
        if running.existing is not None or isinstance(error, TurnRunning | Unprocessable):
            stream.discard()
        elif error is not None:
            last = running.producer.error_frame(len(stream.frames), error)
            stream.extend([last], ended=True, failed=True)

    async def _claim(self, running: _Running, stream: LocalStream, key: IdempotencyKey) -> bool:
        """Claim the key for the stream; return whether to produce the stream."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                # A caller with the same key on another worker must find the stream.
                if not await stream.wait_for_first_write():
                    raise Unavailable("Redis is unavailable.")
            running.existing = await self._idempotency.claim(
                key,
                stream.stream_id,
                expiry_ms=stream.expiry_ms,
                find=partial(self._store.open_settled, owner=stream.header.owner),
            )
        except (Unavailable, *REDIS_ERRORS) as error:
            log.warning("ignoring Idempotency-Key: %s", describe(error))
            return True
        if running.existing is not None:
            return False
        stream.idempotency_key = key.redis_key
        return True


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - once per worker; no event covers all conditions
        await anyio.sleep(POLL_INTERVAL)
