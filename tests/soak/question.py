"""A client that asks one question, follows its plan, and records what it received."""

import asyncio
from random import Random

import aiohttp
from msgspec import Struct

from tests.service import CHAT
from tests.soak import script
from tests.soak.plan import SearchPlan, Step
from tests.soak.turns import LOST, Seen, Tally, Turn, judge
from tests.soak.viewer import PAUSE, Cut, Viewer
from tests.soak.workers import Workers

RETRYABLE = ("shutting-down", LOST)
# Attempts to ask, with pauses: longer than a restart, even if a lease must lapse first.
TRIES = 50


class Scene(Struct, frozen=True):
    """What all clients share; `rate` is in tokens per second, `grace` in seconds."""

    http: aiohttp.ClientSession
    workers: Workers
    tally: Tally
    rate: float
    grace: float


class Question:
    """A question, and all the turns that it led to."""

    def __init__(
        self, scene: Scene, chosen: SearchPlan, random: Random, conversation_id: str | None
    ) -> None:
        self.conversation_id = conversation_id
        self._scene, self._plan, self._random = scene, chosen, random
        self._tally, self._workers = scene.tally, scene.workers
        self._body = {"query": script.question(chosen.number)}
        if conversation_id:
            self._body["conversation_id"] = conversation_id
        self._turns: dict[str, Turn] = {}

    async def live(self) -> None:
        """Ask, read, and follow the plan to the end of the turn."""
        replies = await self._ask()
        if not replies:
            return
        async with asyncio.TaskGroup() as group:
            viewer, *others = [self._viewer(*reply) for reply in replies]
            for other in others:
                group.create_task(other.read())
            for step in self._plan.steps:
                await viewer.read(step.at)
                if viewer.seen.ended:
                    break
                await self._take(step, viewer, group)
            await viewer.read()
        await self._look_again(viewer)
        if self._plan.key and viewer.seen.turn.ending in RETRYABLE:
            await self._retry(viewer.seen.turn)
        for turn in self._turns.values():
            judge(turn, self._tally, grace=self._scene.grace, rate=self._scene.rate)

    @property
    def state(self) -> str:
        """Describe its progress, for a report of stuck questions."""
        doing = [
            f"{turn.turn_id} ({turn.life.fate if turn.life else 'unknown worker'}):"
            f" {len(turn.frames)} events, ended {turn.ending}"
            for turn in self._turns.values()
        ]
        return f"{self._plan}: {'; '.join(doing) or 'no reply yet'}"

    async def _take(self, step: Step, viewer: Viewer, group: asyncio.TaskGroup) -> None:
        turn = viewer.seen.turn
        self._tally.counts[f"clients: {step.action}"] += 1
        match step.action:
            case "hang up" | "leave":
                viewer.hang_up()
                await asyncio.sleep(step.pause)
            case "stop":
                group.create_task(self._stop(turn))
            case "second viewer":
                after = self._random.choice((-1, self._random.randrange(step.at)))
                group.create_task(self._viewer(turn, None, after).read())
            case "ask again":
                group.create_task(self._ask_again(turn))

    async def _look_again(self, viewer: Viewer) -> None:
        """Do what the plan says for the time after the last event."""
        turn = viewer.seen.turn
        match self._plan.afterwards:
            case "replay":
                await self._viewer(turn, None).read()
            case "come back" if viewer.seen.ended:
                await viewer.expect_nothing()
            case "ask again" if turn.ending not in RETRYABLE:
                await self._ask_again(turn)
            case _:
                return
        self._tally.counts[f"clients, after the end: {self._plan.afterwards}"] += 1

    async def _ask(self) -> list[tuple[Turn, aiohttp.ClientResponse | None]]:
        """Ask one worker after the other, as a proxy does; returns nothing if none answers.

        The same question sent twice at the same time is one turn with two viewers.
        """
        for attempt in range(TRIES):
            places = self._random.sample((0, 1), 2)
            if self._plan.twice and attempt == 0:
                self._tally.counts["clients: ask twice at once"] += 1
                posts = await asyncio.gather(*map(self._post, places))
                replies = [reply for reply in posts if reply]
            else:
                replies = [reply for reply in [await self._post(places[0])] if reply]
            if any(reply and reply[1] for reply in replies):
                if len({turn.turn_id for turn, _ in replies}) > 1:
                    self._unexpected("one Idempotency-Key, two turns")
                return sorted(replies, key=lambda reply: reply[1] is None)
            if replies:
                # An earlier attempt on a killed worker, until its lease lapses.
                self._tally.counts["keys held for a lost reply"] += 1
                self._turns.clear()
            await asyncio.sleep(PAUSE if attempt else 0)
        self._unexpected("nobody answers")
        return []

    async def _ask_again(self, turn: Turn) -> None:
        """Ask with the same key: the response is the same turn, running or ended."""
        for _ in range(TRIES):
            if reply := await self._post(self._random.randrange(2)):
                if reply[0] is not turn and turn.ending not in (*RETRYABLE, None):
                    self._unexpected(f"its key gives {reply[0].turn_id}, not {turn.turn_id}")
                await self._viewer(*reply).read()
                return
            await asyncio.sleep(PAUSE)

    async def _retry(self, failed: Turn) -> None:
        """Ask with the same key after a retryable error: a new turn starts."""
        self._tally.counts["clients: retry a failed turn with its key"] += 1
        for _ in range(TRIES):
            if reply := await self._post(self._random.randrange(2)):
                if reply[0] is failed:
                    self._unexpected(f"its key gives {failed.turn_id}, which failed, once more")
                await self._viewer(*reply).read()
                return
            await asyncio.sleep(PAUSE)

    async def _post(self, place: int) -> tuple[Turn, aiohttp.ClientResponse | None] | None:
        """Ask one worker; returns the turn, and the response if it is the stream.

        None if the worker is down or refuses.
        """
        headers = {"Idempotency-Key": self._plan.key} if self._plan.key else {}
        url = self._workers.urls[place] + CHAT
        try:
            reply = await self._scene.http.post(url, json=self._body, headers=headers)
            if reply.status == 200:
                self.conversation_id = reply.headers["X-Conversation-Id"]
                return self._turn(reply.headers["X-Turn-Id"], place), reply
            told = (await reply.read()).decode()
        except Cut:
            self._tally.counts["connections refused or cut"] += 1
            return None
        if reply.status == 409 and self._plan.key:
            return self._turn(reply.headers["Location"].rpartition("/")[2], None), None
        if reply.status == 503 and "shutting-down" in told and "Retry-After" in reply.headers:
            self._tally.counts["questions refused with 503"] += 1
        else:
            self._unexpected(f"{reply.status}: {told[:200]}")
        return None

    async def _stop(self, turn: Turn) -> None:
        """Stop the turn, on any worker."""
        for _ in range(TRIES):
            turn.stopped_at = asyncio.get_running_loop().time()
            url = f"{self._random.choice(self._workers.urls)}{CHAT}/{turn.turn_id}"
            try:
                async with self._scene.http.delete(url) as reply:
                    if reply.status == 202:
                        return
                    self._unexpected(f"{reply.status} on DELETE: {(await reply.text())[:200]}")
                    return
            except Cut:
                await asyncio.sleep(PAUSE)

    def _turn(self, turn_id: str, place: int | None) -> Turn:
        """Find or record a turn; `place` is the worker that answered, and so runs it."""
        life = None if place is None else self._workers.lives[place]
        now = asyncio.get_running_loop().time()
        return self._turns.setdefault(turn_id, Turn(turn_id, self._plan.number, life, now))

    def _viewer(
        self, turn: Turn, reply: aiohttp.ClientResponse | None = None, after: int = -1
    ) -> Viewer:
        scene = self._scene
        seen = Seen(turn, scene.tally, after)
        return Viewer(scene.http, scene.workers, scene.tally, self._random, seen, reply)

    def _unexpected(self, detail: str) -> None:
        self._tally.fault("unexpected replies", f"question {self._plan.number}: {detail}")
