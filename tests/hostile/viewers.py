"""Clients that behave well: each has an address of its own, and asks one question after another."""

import asyncio
from collections.abc import Sequence
from random import Random

import aiohttp
from msgspec.structs import replace

from tests.soak import script
from tests.soak.plan import plan_question
from tests.soak.question import ClientContext, Question


def addresses(count: int) -> Sequence[str]:
    """Return loopback addresses that no attacker has."""
    return [f"127.0.1.{number + 1}" for number in range(count)]


async def view(context: ClientContext, address: str, number: int, ended: asyncio.Event) -> None:
    """Ask questions as the soak test's clients do, until `ended` is set and the last one is read.

    A question without an end is a fault.
    """
    random = Random(address)  # noqa: S311 -- not a secret
    limit = 2 * script.MAX_TOKENS / context.rate + 6 * context.grace + 30
    connector = aiohttp.TCPConnector(force_close=True, limit=0, local_addr=(address, 0))
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        own = replace(context, http=http)
        conversation_id: str | None = None
        while not ended.is_set():
            plan = plan_question(random, number, context.grace)
            number += 1
            question = Question(own, plan, random, conversation_id)
            try:
                async with asyncio.timeout(limit):
                    await question.run()
            except TimeoutError:
                detail = f"no end in {limit:.0f} s: {question.state}"
                context.tally.fault("turns without a last event", detail)
            conversation_id = question.conversation_id if plan.follow_up else None
