"""Random plans of what a client does with one question."""

from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from tests.soak import script

Action: TypeAlias = Literal["disconnect", "abandon", "stop", "second viewer", "resend"]
Afterwards: TypeAlias = Literal["nothing", "replay", "reconnect", "resend"]


class Step(Struct, frozen=True):
    """An action after event number `at`; `pause` is the time disconnected, in seconds."""

    at: int
    action: Action
    pause: float = 0.0


class QuestionPlan(Struct, frozen=True):
    """One question and its steps; `twice` sends it to both workers at the same time."""

    number: int
    key: str | None
    twice: bool
    steps: tuple[Step, ...]
    afterwards: Afterwards
    follow_up: bool


def plan_question(random: Random, number: int, grace: float) -> QuestionPlan:
    """Plan a question.

    `grace` is the time in seconds that a turn runs without viewers. A client that disconnects
    reconnects within half of it, one in five at once; one that abandons its turn checks it again
    after more than twice that time.
    """
    last = script.length(number)
    key = f"question-of-the-soak-{number}" if random.random() < 0.25 else None
    steps = [
        Step(random.randrange(1, last), "disconnect", max(0, random.uniform(-0.1, 0.4)) * grace)
        for _ in range(random.choice((0, 0, 1, 1, 2, 3)))
    ]
    end = random.random()
    if end < 0.12:
        steps.append(Step(random.randrange(1, last), "stop"))
    elif end < 0.20:
        pause = random.uniform(2.2, 3.0) * grace
        steps.append(Step(random.randrange(1, last // 2), "abandon", pause))
    if random.random() < 0.25:
        steps.append(Step(random.randrange(1, last), "second viewer"))
    if key and random.random() < 0.5:
        steps.append(Step(random.randrange(1, last), "resend"))
    after: tuple[Afterwards, ...] = ("nothing", "nothing", "replay", "reconnect")
    steps.sort(key=lambda step: step.at)
    # A client that stops its turn does nothing else, so that the time to its end is measured.
    stops = [index for index, step in enumerate(steps, 1) if step.action == "stop"]
    return QuestionPlan(
        number=number,
        key=key,
        twice=key is not None and random.random() < 0.3,
        steps=tuple(steps[: stops[0]] if stops else steps),
        afterwards=random.choice((*after, "resend") if key else after),
        follow_up=random.random() < 0.25,
    )
