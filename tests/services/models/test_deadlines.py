"""How long an answer may take from one piece to the next."""

from collections.abc import Callable

from app.services.models.deadlines import AnswerDeadlines


class Clock:
    """A clock that the test sets."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def waits(
    clock: Clock, *, until: float = 160, silence: float = 20, thinking: float = 240
) -> tuple[AnswerDeadlines, Callable[[float], float]]:
    """Return deadlines, and a function that returns the next one after a sign of life at a time."""
    deadlines = AnswerDeadlines(clock, until=until, silence=silence, thinking=thinking)

    def sign_of_life(at: float) -> float:
        clock.seconds = at
        return at + deadlines.after_sign_of_life()

    return deadlines, sign_of_life


def test_a_sign_of_life_never_shortens_the_time_to_the_first_text() -> None:
    _, sign_of_life = waits(Clock())
    assert sign_of_life(101) == 160
    assert sign_of_life(139) == 160


def test_signs_of_life_extend_the_time_to_the_first_text_up_to_a_limit() -> None:
    _, sign_of_life = waits(Clock())
    assert sign_of_life(150) == 170
    assert sign_of_life(310) == 330
    assert sign_of_life(325) == 340
    assert sign_of_life(341) == 340


def test_a_limit_below_the_time_to_the_first_text_has_no_effect() -> None:
    _, sign_of_life = waits(Clock(), thinking=30)
    assert sign_of_life(120) == 160


def test_text_may_be_followed_by_silence_and_by_signs_of_life_up_to_the_limit() -> None:
    clock = Clock()
    deadlines, sign_of_life = waits(clock)
    for began in (200, 600):
        clock.seconds = began
        assert deadlines.after_text() == 20
        assert sign_of_life(began + 10) == began + 30
        assert sign_of_life(began + 240) == began + 250
        assert sign_of_life(began + 249) == began + 250


def test_the_limit_that_was_reached_is_named_with_its_setting() -> None:
    deadlines, sign_of_life = waits(Clock())
    assert deadlines.reached() == "no text within 60 s (LLM_FIRST_TOKEN_TIMEOUT)"
    sign_of_life(110)
    assert "LLM_FIRST_TOKEN_TIMEOUT" in deadlines.reached()
    sign_of_life(150)
    assert deadlines.reached() == "no sign of life for 20 s (LLM_SILENCE_TIMEOUT)"
    sign_of_life(325)
    assert deadlines.reached() == "no text for 240 s (LLM_THINKING_TIMEOUT)"
    deadlines.after_text()
    assert "LLM_SILENCE_TIMEOUT" in deadlines.reached()
