"""A client that asks one question, follows its plan, and checks what it receives."""

import asyncio
from random import Random

import aiohttp
from msgspec import Struct

from tests.service import CHAT
from tests.soak import script
from tests.soak.plan import QuestionPlan, Step
from tests.soak.turns import LOST, ReceivedEvents, Tally, Turn, check_turn
from tests.soak.viewer import CONNECTION_ERRORS, PAUSE, Viewer
from tests.soak.workers import Workers

RETRYABLE = ("shutting-down", LOST)
# With a pause after each, these outlast a restart and the expiry of a lease.
ATTEMPTS = 50


class ClientContext(Struct, frozen=True):
    """Shared by all clients; `rate` is in tokens a second, `grace` is TURN_GRACE in seconds."""

    http: aiohttp.ClientSession
    workers: Workers
    tally: Tally
    rate: float
    grace: float


class Question:
    """One question of a client, and the turns that answer it."""

    def __init__(
        self,
        context: ClientContext,
        plan: QuestionPlan,
        random: Random,
        conversation_id: str | None,
    ) -> None:
        self.conversation_id = conversation_id
        self._context, self._plan, self._random = context, plan, random
        self._tally, self._workers = context.tally, context.workers
        self._body = {"query": script.question(plan.number)}
        if conversation_id:
            self._body["conversation_id"] = conversation_id
        self._turns: dict[str, Turn] = {}

    async def run(self) -> None:
        """Ask, carry out the plan, and check all turns."""
        replies = await self._ask()
        if not replies:
            return
        async with asyncio.TaskGroup() as group:
            viewer, *others = [self._viewer(*reply) for reply in replies]
            for other in others:
                group.create_task(other.read())
            for step in self._plan.steps:
                await viewer.read(step.at)
                if viewer.received.ended:
                    break
                await self._execute(step, viewer, group)
            await viewer.read()
        await self._finish(viewer)
        if self._plan.key and viewer.received.turn.ending in RETRYABLE:
            await self._retry(viewer.received.turn)
        for turn in self._turns.values():
            check_turn(turn, self._tally, grace=self._context.grace, rate=self._context.rate)

    @property
    def state(self) -> str:
        """The progress of the question, for the report of a timeout."""
        turns = [
            f"{turn.turn_id} (worker {turn.worker.state if turn.worker else 'unknown'}):"
            f" {len(turn.frames)} events, ending {turn.ending}"
            for turn in self._turns.values()
        ]
        return f"{self._plan}: {'; '.join(turns) or 'no response yet'}"

    async def _execute(self, step: Step, viewer: Viewer, group: asyncio.TaskGroup) -> None:
        turn = viewer.received.turn
        self._tally.counts[f"clients: {step.action}"] += 1
        match step.action:
            case "disconnect" | "abandon":
                viewer.disconnect()
                await asyncio.sleep(step.pause)
            case "stop":
                group.create_task(self._stop(turn))
            case "second viewer":
                after = self._random.choice((-1, self._random.randrange(step.at)))
                group.create_task(self._viewer(turn, None, after).read())
            case "resend":
                group.create_task(self._resend(turn))

    async def _finish(self, viewer: Viewer) -> None:
        """Carry out the part of the plan that follows the last event."""
        turn = viewer.received.turn
        match self._plan.afterwards:
            case "replay":
                await self._viewer(turn, None).read()
            case "reconnect" if viewer.received.ended:
                await viewer.expect_no_content()
            case "resend" if turn.ending not in RETRYABLE:
                await self._resend(turn)
            case _:
                return
        self._tally.counts[f"clients, after the end: {self._plan.afterwards}"] += 1

    async def _ask(self) -> list[tuple[Turn, aiohttp.ClientResponse | None]]:
        """Ask random workers until one answers, as through a proxy; return [] if none does.

        If the plan sends the question twice, both requests must give the same turn.
        """
        for attempt in range(ATTEMPTS):
            indexes = self._random.sample((0, 1), 2)
            if self._plan.twice and attempt == 0:
                self._tally.counts["clients: send a question twice at once"] += 1
                posts = await asyncio.gather(*map(self._post, indexes))
                replies = [reply for reply in posts if reply]
            else:
                replies = [reply for reply in [await self._post(indexes[0])] if reply]
            if any(reply and reply[1] for reply in replies):
                if len({turn.turn_id for turn, _ in replies}) > 1:
                    self._unexpected("one Idempotency-Key, two turns")
                return sorted(replies, key=lambda reply: reply[1] is None)
            if replies:
                # A killed worker holds the key of an earlier attempt until its lease expires.
                self._tally.counts["keys held for a lost reply"] += 1
                self._turns.clear()
            await asyncio.sleep(PAUSE if attempt else 0)
        self._unexpected("no worker answered")
        return []

    async def _resend(self, turn: Turn) -> None:
        """Ask again with the same key, which must give the same turn, running or ended."""
        for _ in range(ATTEMPTS):
            if reply := await self._post(self._random.randrange(2)):
                if reply[0] is not turn and turn.ending not in (*RETRYABLE, None):
                    self._unexpected(f"its key gave {reply[0].turn_id}, not {turn.turn_id}")
                await self._viewer(*reply).read()
                return
            await asyncio.sleep(PAUSE)

    async def _retry(self, failed: Turn) -> None:
        """Ask again with the same key after a retryable failure, which must give a new turn."""
        self._tally.counts["clients: retry a failed turn with its key"] += 1
        for _ in range(ATTEMPTS):
            if reply := await self._post(self._random.randrange(2)):
                if reply[0] is failed:
                    self._unexpected(f"its key gave the failed turn {failed.turn_id} again")
                await self._viewer(*reply).read()
                return
            await asyncio.sleep(PAUSE)

    async def _post(self, index: int) -> tuple[Turn, aiohttp.ClientResponse | None] | None:
        """Ask a worker. Return the turn and its stream, or None instead of the stream on a 409.

        Return None if the worker is not reachable or refuses the question.
        """
        headers = {"Idempotency-Key": self._plan.key} if self._plan.key else {}
        url = self._workers.urls[index] + CHAT
        try:
            reply = await self._context.http.post(url, json=self._body, headers=headers)
            if reply.status == 200:
                self.conversation_id = reply.headers["X-Conversation-Id"]
                return self._turn(reply.headers["X-Turn-Id"], index), reply
            body = (await reply.read()).decode()
        except CONNECTION_ERRORS:
            self._tally.counts["connections refused or cut"] += 1
            return None
        if reply.status == 409 and self._plan.key:
            return self._turn(reply.headers["Location"].rpartition("/")[2], None), None
        if reply.status == 503 and "shutting-down" in body and "Retry-After" in reply.headers:
            self._tally.counts["questions refused with 503"] += 1
        else:
            self._unexpected(f"{reply.status}: {body[:200]}")
        return None

    async def _stop(self, turn: Turn) -> None:
        """Stop the turn at a random worker."""
        for _ in range(ATTEMPTS):
            turn.stopped_at = asyncio.get_running_loop().time()
            url = f"{self._random.choice(self._workers.urls)}{CHAT}/{turn.turn_id}"
            try:
                async with self._context.http.delete(url) as reply:
                    if reply.status == 202:
                        return
                    self._unexpected(f"{reply.status} on DELETE: {(await reply.text())[:200]}")
                    return
            except CONNECTION_ERRORS:
                await asyncio.sleep(PAUSE)

    def _turn(self, turn_id: str, index: int | None) -> Turn:
        """Return the turn, new or known; `index` is the worker that runs it, if known."""
        worker = None if index is None else self._workers.current[index]
        now = asyncio.get_running_loop().time()
        return self._turns.setdefault(turn_id, Turn(turn_id, self._plan.number, worker, now))

    def _viewer(
        self, turn: Turn, reply: aiohttp.ClientResponse | None = None, after: int = -1
    ) -> Viewer:
        received = ReceivedEvents(turn, self._tally, after)
        http = self._context.http
        return Viewer(http, self._workers, self._tally, self._random, received, reply)

    def _unexpected(self, detail: str) -> None:
        self._tally.fault("unexpected replies", f"question {self._plan.number}: {detail}")
