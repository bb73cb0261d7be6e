"""Condensing pauses if the model is too slow for it."""

from collections.abc import Iterable

import pytest

from app.errors import ModelFailed
from app.services.chat.condenser import PAUSE, Condenser
from app.services.models.prompt import Message, Prompt

pytestmark = pytest.mark.anyio

PROMPT = Prompt((Message("user", "Why?"),))
FAILED = ModelFailed("The language model cannot be reached.")
SLOW = None


class Model:
    """Gives one result after another: a text, None if it was too slow, or an exception."""

    def __init__(self, results: Iterable[str | ModelFailed | None]) -> None:
        self._results = iter(results)
        self.deadlines: list[float] = []

    async def complete(self, prompt: Prompt, deadline: float, /) -> str | None:
        self.deadlines.append(deadline)
        result = next(self._results)
        if isinstance(result, ModelFailed):
            raise result
        return result


class Clock:
    """A clock that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def asked(
    *results: str | ModelFailed | None, clock: Clock | None = None
) -> tuple[Condenser, Model]:
    model = Model([*results, *["a question"] * 10])
    condenser = Condenser(model, timeout=2.5, now=clock or Clock())
    for _ in range(10):
        await condenser.rewrite(PROMPT)
    return condenser, model


async def test_the_model_has_its_time_for_each_question() -> None:
    model = Model(["a question", SLOW])
    condenser = Condenser(model, timeout=2.5)
    assert [await condenser.rewrite(PROMPT) for _ in range(2)] == ["a question", None]
    assert model.deadlines == [2.5, 2.5]


@pytest.mark.parametrize("results", [[SLOW, SLOW], [SLOW, "yes", SLOW], ["yes", SLOW, SLOW]])
async def test_condensing_pauses_after_slow_answers(
    results: list[str | ModelFailed | None], caplog: pytest.LogCaptureFixture
) -> None:
    _, model = await asked(*results)
    assert len(model.deadlines) == len(results)
    (line,) = caplog.messages
    assert "CONDENSE_MODEL" in line
    assert "CONDENSE=off" in line


@pytest.mark.parametrize(
    "results", [[SLOW, "yes", "yes", SLOW], [FAILED] * 4, [SLOW, FAILED, "yes", "yes", SLOW]]
)
async def test_condensing_goes_on_after_single_slow_answers_and_other_failures(
    results: list[str | ModelFailed | None],
) -> None:
    _, model = await asked(*results)
    assert len(model.deadlines) == 10


async def test_condensing_resumes_after_the_pause_and_may_pause_again() -> None:
    clock = Clock()
    condenser, model = await asked(SLOW, SLOW, SLOW, SLOW, clock=clock)
    for seconds, total in ((PAUSE - 1, 2), (PAUSE, 3), (PAUSE, 4), (PAUSE, 4), (2 * PAUSE, 5)):
        clock.seconds = seconds
        await condenser.rewrite(PROMPT)
        assert len(model.deadlines) == total
