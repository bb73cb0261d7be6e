"""Random plans of what a client does with one question. Pure."""

from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from tests.soak import script

Action: TypeAlias = Literal["hang up", "leave", "stop", "second viewer", "ask again"]
Afterwards: TypeAlias = Literal["nothing", "replay", "come back", "ask again"]


class Step(Struct, frozen=True):
    """An action of the client at event number `at`; it returns after `pause` seconds."""

    at: int
    action: Action
    pause: float = 0.0


class SearchPlan(Struct, frozen=True):
    """The plan of one question; `twice` sends it to both workers at the same time."""

    number: int
    key: str | None
    twice: bool
    steps: tuple[Step, ...]
    afterwards: Afterwards
    follow_up: bool


def plan(random: Random, number: int, grace: float) -> SearchPlan:
    """Plan what one client does with the question of this number.

    `grace` is how long a turn runs without viewers, in seconds. A client that disconnects returns
    in less than half of it, one in five at once. A client that leaves returns after twice the
    grace time.
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
    # A client that stops a turn stays to measure how soon it ends.
    places = [place for place, step in enumerate(steps, 1) if step.action == "stop"]
    return SearchPlan(
        number=number,
        key=key,
        twice=key is not None and random.random() < 0.3,
        steps=tuple(steps[: places[0]] if places else steps),
        afterwards=random.choice((*after, "ask again") if key else after),
        follow_up=random.random() < 0.25,
    )
