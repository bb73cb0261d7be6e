"""A question comes in and is answered apart from any connection; viewers follow its log.

The turn belongs to the runner: when a client goes away it goes on, for a grace time, and whoever
comes back in time finds it. It ends with exactly one `Done` or `Failed`, whatever happens.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from app.errors import ChatError, ShuttingDown, TurnLost, TurnRunning, Unavailable, Unprocessable
from app.schemas import ChatRequest, Done, Event, Failed, Token
from app.services.event_log import Extent
from app.services.turn import Answerer, Ask, Stop

log = logging.getLogger(__name__)


class EventLog(Protocol):
    """Keeps the frames of turns; see `LocalEventLog`."""

    def open(self, turn_id: str, conversation_id: str) -> None:
        """Begin a turn's log."""
        ...

    def append(self, turn_id: str, frames: Sequence[bytes], *, last: bool = False) -> None:
        """Add frames; `last` ends the log."""
        ...

    def extent(self, turn_id: str) -> Extent:
        """Tell how far a turn has come; raise NotFound."""
        ...

    def follow(self, turn_id: str, after: int = -1) -> AsyncIterator[bytes]:
        """Yield the frames after number `after`, many at a time, to the end; raise NotFound."""
        ...

    def drop(self, turn_id: str) -> None:
        """Forget a turn."""
        ...


class _Turn:
    """A turn that this worker runs."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.stop = Stop()
        self.begun = anyio.Event()
        self.failure: ChatError | None = None
        self.events = 0
        self.viewers = 0
        self.grace: asyncio.TimerHandle | None = None
        self.scope = anyio.CancelScope()


class _Keyed(Struct, frozen=True):
    """What an Idempotency-Key stands for."""

    request: ChatRequest
    ask: Ask


class Runner:
    """Runs turns. `encode(turn_id, number, event)` makes the frame that viewers are sent.

    `most_turns` run at once. `grace` and `replay` are in seconds: how long a turn runs with nobody
    watching, and how long an ended one can be read.
    """

    def __init__(
        self,
        *,
        answerer: Answerer,
        event_log: EventLog,
        encode: Callable[[str, int, Event], bytes],
        tasks: TaskGroup,
        most_turns: int,
        grace: float,
        replay: float,
    ) -> None:
        self._answerer = answerer
        self._log = event_log
        self._encode = encode
        self._tasks = tasks
        self._most_turns = most_turns
        self._grace = grace
        self._replay = replay
        self._turns: dict[str, _Turn] = {}
        self._keyed: dict[str, _Keyed] = {}
        self.shutting_down = anyio.Event()

    async def start(self, request: ChatRequest, key: str | None = None) -> Ask:
        """Start a turn and return when its first event is there.

        `key` is the client's Idempotency-Key: one that was used before gives its finished turn
        again. Raises TurnRunning, Unprocessable (another body), ShuttingDown, Unavailable (too
        many turns), and whatever kept the turn from its first event.
        """
        if self.shutting_down.is_set():
            raise ShuttingDown("The service is restarting. Try again in a few seconds.")
        if key is not None and (known := self._keyed.get(key)):
            return self._again(known, request)
        if len(self._turns) >= self._most_turns:
            raise Unavailable("Too many questions are being answered. Try again in a few seconds.")
        turn = _Turn(_ask(request))
        turn_id = turn.ask.turn_id
        if key is not None:
            self._keyed[key] = _Keyed(request, turn.ask)
        self._turns[turn_id] = turn
        self._log.open(turn_id, turn.ask.conversation_id)
        self._tasks.start_soon(self._run, turn, key)
        try:
            await turn.begun.wait()
        finally:
            # Whoever asked is about to follow; the grace time is for those who went away.
            self._unwatched(turn)
        if turn.failure is not None:
            raise turn.failure
        return turn.ask

    def extent(self, turn_id: str) -> Extent:
        """Tell how far a turn has come; raises NotFound."""
        return self._log.extent(turn_id)

    def follow(self, turn_id: str, after: int = -1) -> AsyncIterator[bytes]:
        """Give a turn's frames after number `after`, to the end; raises NotFound."""
        frames = self._log.follow(turn_id, after)
        turn = self._turns.get(turn_id)
        return frames if turn is None else self._view(turn, frames)

    def stop(self, turn_id: str) -> None:
        """End a turn early; one that has ended is left as it is. Raises NotFound."""
        if turn := self._turns.get(turn_id):
            turn.stop("stopped")
        else:
            self._log.extent(turn_id)

    async def end_on_shutdown(self) -> None:
        """Wait until `shutting_down` is set, then end every turn so that its viewers are told."""
        await self.shutting_down.wait()
        for turn in self._turns.values():
            turn.scope.cancel()

    async def _run(self, turn: _Turn, key: str | None) -> None:
        failure: ChatError | None = None
        with turn.scope:
            try:
                await self._answerer.answer(turn.ask, lambda e: self._emit(turn, e), turn.stop)
            except ChatError as error:
                failure = error
            except Exception:
                log.exception("turn %s broke", turn.ask.turn_id)
                failure = TurnLost("The answer was lost through a fault of ours. Ask again.")
        if turn.scope.cancelled_caught:
            failure = ShuttingDown("The service is restarting. Ask again in a few seconds.")
        if failure is not None:
            self._fail(turn, failure, key)
        self._end(turn, key)

    def _emit(self, turn: _Turn, event: Event) -> None:
        turn_id = turn.ask.turn_id
        frame = self._encode(turn_id, turn.events, event)
        turn.events += 1
        self._log.append(turn_id, (frame,), last=isinstance(event, Done | Failed))
        if not isinstance(event, Token):
            turn.begun.set()

    def _fail(self, turn: _Turn, failure: ChatError, key: str | None) -> None:
        if key is not None:
            # The same key may try afresh.
            self._keyed.pop(key, None)
        if turn.events == 0:
            # Nothing was sent yet: the first viewer gets an HTTP status.
            turn.failure = failure
        problem = failure.problem()
        event = Failed(
            type=problem.type,
            title=problem.title,
            status=problem.status,
            detail=problem.detail,
            retryable=failure.retryable,
        )
        self._emit(turn, event)

    def _end(self, turn: _Turn, key: str | None) -> None:
        turn_id = turn.ask.turn_id
        del self._turns[turn_id]
        if turn.grace is not None:
            turn.grace.cancel()
        asyncio.get_running_loop().call_later(self._replay, self._forget, turn.ask, key)

    def _forget(self, ask: Ask, key: str | None) -> None:
        self._log.drop(ask.turn_id)
        if key is not None and (known := self._keyed.get(key)) and known.ask is ask:
            del self._keyed[key]

    def _again(self, known: _Keyed, request: ChatRequest) -> Ask:
        if known.request != request:
            raise Unprocessable(
                "This Idempotency-Key was used with another body. Use a new key for a new question."
            )
        turn_id = known.ask.turn_id
        if turn_id in self._turns:
            location = f"/api/v1/chat/{turn_id}"
            raise TurnRunning(
                f"That question is being answered: follow it at {location}.",
                headers={"Location": location},
            )
        return known.ask

    async def _view(self, turn: _Turn, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        turn.viewers += 1
        if turn.grace is not None:
            turn.grace.cancel()
        try:
            async for joined in frames:
                yield joined
        finally:
            turn.viewers -= 1
            self._unwatched(turn)

    def _unwatched(self, turn: _Turn) -> None:
        if turn.grace is not None:
            turn.grace.cancel()
        if turn.viewers == 0 and turn.ask.turn_id in self._turns:
            turn.grace = asyncio.get_running_loop().call_later(self._grace, turn.stop, "abandoned")


def _ask(request: ChatRequest) -> Ask:
    return Ask(
        turn_id=f"t_{secrets.token_hex(16)}",
        conversation_id=request.conversation_id or f"c_{secrets.token_hex(16)}",
        new_conversation=request.conversation_id is None,
        question=request.query,
        creator=request.creator,
    )
