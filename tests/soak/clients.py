"""Concurrent clients that ask one question after another."""

import asyncio
from random import Random

from tests.soak import script
from tests.soak.plan import plan_question
from tests.soak.question import ClientContext, Question


class Clients:
    """The clients of a run; `active` is how many of them have a question in progress."""

    def __init__(self, context: ClientContext, seed: int) -> None:
        self.active = 0
        self._context, self._seed = context, seed
        self._stopped = asyncio.Event()
        # Seconds after which a question without an end is a fault.
        self._timeout = 2 * script.MAX_TOKENS / context.rate + 6 * context.grace + 30

    async def run(self, count: int, ramp: float) -> None:
        """Run `count` clients until `stop` is called and every question has ended.

        They start evenly over the first `ramp` seconds.
        """
        async with asyncio.TaskGroup() as group:
            for client in range(count):
                group.create_task(self._client(client, client / count * ramp))

    def stop(self) -> None:
        """Ask no more questions."""
        self._stopped.set()

    async def _client(self, client: int, delay: float) -> None:
        random = Random(f"{self._seed}-{client}")  # noqa: S311 -- not a secret
        conversation_id: str | None = None
        number = client * 10_000
        await asyncio.sleep(delay)
        while not self._stopped.is_set():
            plan = plan_question(random, number, self._context.grace)
            number += 1
            question = Question(self._context, plan, random, conversation_id)
            self.active += 1
            try:
                async with asyncio.timeout(self._timeout):
                    await question.run()
            except TimeoutError:
                detail = f"no end in {self._timeout:.0f} s: {question.state}"
                self._context.tally.fault("turns without a last event", detail)
            finally:
                self.active -= 1
            conversation_id = question.conversation_id if plan.follow_up else None
