"""A number of clients that ask one question after another until they are told to stop."""

import asyncio
from random import Random

from tests.soak import script
from tests.soak.plan import plan
from tests.soak.question import Question, Scene


class Crowd:
    """The clients; `asking` is how many have an unfinished question."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.asking = 0
        self._scene, self._seed = scene, seed
        self._over = asyncio.Event()
        # Seconds after which a client that still waits counts as stuck.
        self._limit = 2 * script.MOST / scene.rate + 6 * scene.grace + 30

    async def run(self, people: int, ramp: float) -> None:
        """Ask until `end` is called, and then until all questions have ended.

        The clients start evenly over the first `ramp` seconds.
        """
        async with asyncio.TaskGroup() as group:
            for person in range(people):
                group.create_task(self._person(person, person / people * ramp))

    def end(self) -> None:
        """Ask no new questions."""
        self._over.set()

    async def _person(self, person: int, delay: float) -> None:
        random = Random(f"{self._seed}-{person}")  # noqa: S311 -- chance, no secret
        conversation_id: str | None = None
        number = person * 10_000
        await asyncio.sleep(delay)
        while not self._over.is_set():
            chosen = plan(random, number, self._scene.grace)
            number += 1
            question = Question(self._scene, chosen, random, conversation_id)
            self.asking += 1
            try:
                async with asyncio.timeout(self._limit):
                    await question.live()
            except TimeoutError:
                detail = f"no end in {self._limit:.0f} s: {question.state}"
                self._scene.tally.fault("turns without a last event", detail)
            finally:
                self.asking -= 1
            conversation_id = question.conversation_id if chosen.follow_up else None
