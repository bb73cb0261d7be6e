"""A question comes in and is answered apart from any connection; viewers follow its log.

The turn belongs to the runner: when a client goes away it goes on, for a grace time, and whoever
comes back in time, to whichever worker, finds it. It ends with exactly one `Done` or `Failed`.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Protocol

import anyio

from app.errors import ChatError, ShuttingDown, TurnLost, TurnRunning, Unavailable, Unprocessable
from app.infra.redis import REDIS_ERRORS
from app.schemas import ChatRequest, Done, Event, Failed, Token
from app.services.chat.answerer import Answerer, Cancellation, TurnInput
from app.services.metrics.registry import Metrics, TurnTimes
from app.services.streams import LocalStream, StreamBuffer
from app.services.streams.abandonment import AbandonmentTimer
from app.services.streams.idempotency import CLAIMING, IdempotencyStore, claim_key, claim_of

log = logging.getLogger(__name__)

# Seconds between two looks at what a shutdown waits for; and for turns that are told to end.
LOOK, ENDING = 0.05, 5.0
LOST = "The answer was lost through a fault of ours. Ask again."
RESTARTING = "The service is restarting. Try again in a few seconds."


class EventLog(Protocol):
    """Keeps the frames of turns; see `EventStore`."""

    def on_stop(self, stop: Callable[[str], None]) -> None:
        """Have `stop` called with the id of a turn that another worker wants stopped."""
        ...

    def begin(self, turn_id: str, conversation_id: str) -> LocalStream:
        """Begin a turn's log."""
        ...

    async def open(self, turn_id: str, after: int = -1) -> StreamBuffer:
        """Find a turn on whichever worker it is; raise NotFound and Unavailable."""
        ...

    async def settled(self, turn_id: str) -> StreamBuffer:
        """Find a turn that may have ended a moment ago; raise NotFound and Unavailable."""
        ...

    async def stop(self, turn_id: str) -> None:
        """Have another worker stop its turn; raise NotFound and Unavailable."""
        ...

    @property
    def flush(self) -> Callable[[], Awaitable[None]]:
        """Wait until all that has ended is kept."""
        ...

    @property
    def remote_viewers(self) -> int:
        """How many viewers here follow turns of other workers."""
        ...

    def cut_remote_viewers(self) -> None:
        """Send those viewers away."""
        ...


class _Turn:
    """A turn that this worker runs."""

    def __init__(self, ask: TurnInput, log: LocalStream, grace: float) -> None:
        self.ask = ask
        self.log = log
        self.stop = Cancellation()
        self.grace = AbandonmentTimer(log, grace, partial(self.stop, "abandoned"))
        # A future, and no event, which would take a kilobyte for as long as the turn runs.
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The turn that an Idempotency-Key stands for already: then this one never begins.
        self.earlier: str | None = None
        self.failure: ChatError | None = None
        self.scope = anyio.CancelScope()
        # Kept, or it might be thrown away while it waits.
        self.task: asyncio.Task[None] | None = None
        self.times = TurnTimes()

    def begin(self) -> None:
        """Tell whoever waits for the first event."""
        if not self.begun.done():
            self.begun.set_result(None)


class StreamRunner:
    """Runs turns. `encode(turn_id, number, event)` makes the frame that viewers are sent.

    `most_turns` run at once. `grace` and `drain_time` are in seconds: how long a turn runs with
    nobody watching, and how long turns may go on when the worker is to end.
    """

    def __init__(
        self,
        *,
        answerer: Answerer,
        event_log: EventLog,
        claims: IdempotencyStore,
        encode: Callable[[str, int, Event], bytes],
        metrics: Metrics,
        most_turns: int,
        grace: float,
        drain_time: float,
    ) -> None:
        self._answerer = answerer
        self._log = event_log
        self._claims = claims
        self._encode = encode
        self._metrics = metrics
        self._most_turns = most_turns
        self._grace = grace
        self._drain_time = drain_time
        self._patience = anyio.CancelScope()
        self._turns: dict[str, _Turn] = {}
        # Seconds from the beginning of a drain to its end, at most.
        self.drain_limit = drain_time + 2 * ENDING
        # Set it to have the worker take nothing new and come to its end; then `drained` is set.
        self.draining = anyio.Event()
        self.drained = anyio.Event()
        event_log.on_stop(self._stop_here)

    @property
    def running(self) -> int:
        """How many turns run."""
        return len(self._turns)

    @property
    def full(self) -> bool:
        """Whether as many turns run as may."""
        return len(self._turns) >= self._most_turns

    def admit(self) -> None:
        """Raise ShuttingDown or Unavailable where no new turn is taken."""
        if self.draining.is_set():
            raise ShuttingDown(RESTARTING)
        if self.full:
            raise Unavailable("Too many questions are being answered. Try again in a few seconds.")

    async def start(self, request: ChatRequest, key: str | None = None) -> str:
        """Start a turn and return its id when its first event is there.

        `key` is the client's Idempotency-Key: one that was used before gives its finished turn
        again. Raises TurnRunning, Unprocessable (another body), what `admit` raises, and whatever
        kept the turn from its first event.
        """
        self.admit()
        ask = _ask(request)
        claim = claim_key(key) if key is not None else None
        turn = _Turn(ask, self._log.begin(ask.turn_id, ask.conversation_id), self._grace)
        self._turns[ask.turn_id] = turn
        # Of a task group each would take 2 KiB more, for as long as it runs; `drain` ends all.
        turn.task = asyncio.create_task(self._run(turn, request, claim))
        try:
            await turn.begun
        finally:
            # Whoever asked is about to follow; the grace time is for those who went away.
            turn.grace.begin()
        if turn.failure is not None:
            raise turn.failure
        return turn.earlier or ask.turn_id

    async def open(self, turn_id: str, after: int = -1) -> StreamBuffer:
        """Find a turn, to follow it after an event.

        Raises NotFound, Unavailable, and ShuttingDown where another worker is the better place.
        """
        turn = await self._log.open(turn_id, after)
        if self.draining.is_set() and not turn.ended and turn_id not in self._turns:
            raise ShuttingDown(RESTARTING)
        return turn

    async def stop(self, turn_id: str) -> None:
        """End a turn early; one that has ended is left as it is. Raises NotFound, Unavailable."""
        if turn_id in self._turns:
            self._stop_here(turn_id)
        else:
            await self._log.stop(turn_id)

    async def drain(self) -> None:
        """Wait until `draining` is set, then for the turns and viewers here, and end what is left.

        Viewers of turns of other workers are sent away without an event: they resume elsewhere.
        """
        await self.draining.wait()
        self._patience.deadline = anyio.current_time() + self._drain_time
        with self._patience:
            await _until(lambda: not self._turns and not self._log.remote_viewers)
        self._log.cut_remote_viewers()
        for turn in self._turns.values():
            turn.stop("shutdown")
        with anyio.move_on_after(ENDING):
            await _until(lambda: not self._turns)
        for turn in self._turns.values():
            turn.scope.cancel()
        await _until(lambda: not self._turns)
        await self._log.flush()
        self.drained.set()

    def shutdown_now(self) -> None:
        """Come to the end at once."""
        self.draining.set()
        self._patience.cancel()

    async def _run(self, turn: _Turn, request: ChatRequest, claim: str | None) -> None:
        failure: ChatError | None = None
        with turn.scope:
            try:
                if claim is None or await self._claimed(turn, request, claim):
                    await self._answerer.answer(turn.ask, partial(self._emit, turn), turn.stop)
            except ChatError as error:
                failure = error
            except Exception:
                log.exception("turn %s broke", turn.ask.turn_id)
                failure = TurnLost(LOST)
        if turn.scope.cancelled_caught:
            failure = ShuttingDown("The service is restarting. Ask again in a few seconds.")
        try:
            self._end(turn, failure)
        except Exception:
            log.exception("turn %s has no end", turn.ask.turn_id)
            turn.failure = turn.failure or TurnLost(LOST)
            turn.log.cut()
            turn.log.discard()
        finally:
            turn.begin()
            del self._turns[turn.ask.turn_id]
            turn.grace.close()

    def _end(self, turn: _Turn, failure: ChatError | None) -> None:
        if failure is not None and not turn.log.frames:
            # Nothing was sent yet: the first viewer gets an HTTP status.
            turn.failure = failure
        if turn.earlier is not None or isinstance(failure, TurnRunning | Unprocessable):
            turn.log.discard()
        elif failure is not None:
            self._emit(turn, failure.event())

    async def _claimed(self, turn: _Turn, request: ChatRequest, key: str) -> bool:
        """Claim the key for the turn; leave with the turn which one has it, if one that is done.

        Raises TurnRunning and Unprocessable.
        """
        claim = claim_of(turn.ask.turn_id, request)
        try:
            async with asyncio.timeout(CLAIMING):
                published = await turn.log.published()
            if not published:
                raise Unavailable("Redis does not answer.")
            turn.earlier = await self._claims.settle(key, claim, turn.log.expiry, self._log.settled)
            turn.log.claim = key if turn.earlier is None else None
        except (Unavailable, *REDIS_ERRORS) as error:
            log.warning("an Idempotency-Key is not minded: %s", type(error).__name__)
        return turn.earlier is None

    def _emit(self, turn: _Turn, event: Event) -> None:
        log = turn.log
        frame = self._encode(log.turn_id, len(log.frames), event)
        if type(event) is Token:
            log.append(frame)
            turn.times.tokens.append(perf_counter())
            return
        self._metrics.record_event(event, turn.times)
        ended = isinstance(event, Done | Failed)
        log.add((frame,), ended=ended, failed=isinstance(event, Failed))
        turn.begin()

    def _stop_here(self, turn_id: str) -> None:
        if turn := self._turns.get(turn_id):
            turn.stop("stopped")


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - once in a worker's life; no event tells of all of it
        await anyio.sleep(LOOK)


def _ask(request: ChatRequest) -> TurnInput:
    return TurnInput(
        turn_id=f"t_{secrets.token_hex(16)}",
        conversation_id=request.conversation_id or f"c_{secrets.token_hex(16)}",
        new_conversation=request.conversation_id is None,
        question=request.query,
        creator=request.creator,
    )
