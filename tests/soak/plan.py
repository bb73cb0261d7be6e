"""Chance comes in; what a client does with one question goes out, decided beforehand. Pure."""

from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from tests.soak import script

Action: TypeAlias = Literal["hang up", "leave", "stop", "second viewer", "ask again"]
Afterwards: TypeAlias = Literal["nothing", "replay", "come back", "ask again"]


class Step(Struct, frozen=True):
    """At event number `at` the client does something; `pause` is in seconds, for who goes away."""

    at: int
    action: Action
    pause: float = 0.0


class SearchPlan(Struct, frozen=True):
    """One question and what becomes of it; `twice` asks both workers in the same instant."""

    number: int
    key: str | None
    twice: bool
    steps: tuple[Step, ...]
    afterwards: Afterwards
    follow_up: bool


def plan(random: Random, number: int, grace: float) -> SearchPlan:
    """Decide what one client does with the question of this number.

    `grace` is how long in seconds a turn goes on with nobody watching: whoever hangs up is back
    in less than half of it, one in five at once; whoever leaves looks again when it has passed
    twice.
    """
    last = script.length(number)
    key = f"soak-{number}" if random.random() < 0.25 else None
    steps = [
        Step(random.randrange(1, last), "hang up", max(0, random.uniform(-0.1, 0.4)) * grace)
        for _ in range(random.choice((0, 0, 1, 1, 2, 3)))
    ]
    end = random.random()
    if end < 0.12:
        steps.append(Step(random.randrange(1, last), "stop"))
    elif end < 0.20:
        pause = random.uniform(2.2, 3.0) * grace
        steps.append(Step(random.randrange(1, last // 2), "leave", pause))
    if random.random() < 0.25:
        steps.append(Step(random.randrange(1, last), "second viewer"))
    if key and random.random() < 0.5:
        steps.append(Step(random.randrange(1, last), "ask again"))
    after: tuple[Afterwards, ...] = ("nothing", "nothing", "replay", "come back")
    steps.sort(key=lambda step: step.at)
    # Whoever has stopped a turn stays for its end, and so sees how soon it comes.
    places = [place for place, step in enumerate(steps, 1) if step.action == "stop"]
    return SearchPlan(
        number=number,
        key=key,
        twice=key is not None and random.random() < 0.3,
        steps=tuple(steps[: places[0]] if places else steps),
        afterwards=random.choice((*after, "ask again") if key else after),
        follow_up=random.random() < 0.25,
    )
