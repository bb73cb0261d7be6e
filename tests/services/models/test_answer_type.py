"""Sentences score by how well their form suits the question."""

from time import perf_counter

import pytest

from app.services.models.extractive.answer_type import answer_type_scorer


@pytest.mark.parametrize(
    ("question", "better", "worse"),
    [
        ("How fast is the attack?", "An attack of 2 ms is safe.", "The attack matters most."),
        ("How many are there?", "There are twelve of them.", "There are some of them."),
        ("When was it founded?", "It was founded in 1834.", "It was founded by two friends."),
        ("Wann war das?", "Das war 1834.", "Das war in der Stadt."),
        ("Who led the team?", "The team was led by Kawann Short.", "The team was led well."),
        ("Where is it made?", "It is made in Japan.", "It is made of wood."),
        ("Why is it loud?", "It is loud because it clips.", "It is loud and it clips."),
        ("How do I start?", "You should read the code first.", "They read the code first."),
        ("How do I start?", "First, set the level.", "The level was set."),
        ("Where do I put it?", "It belongs behind you.", "It belongs to you."),
        ("When should I use it?", "Use it before the limiter.", "Use it with the limiter."),
        ("What is a soft fork?", "A soft fork is a rule.", "They made a soft fork."),
        ("What are soft forks?", "In general a soft fork is a rule.", "Some like soft forks."),
        ("What is a fork?", "A fork is a rule.", "The benefit of a fork is great."),
    ],
)
def test_sentence_of_the_expected_type_scores_higher(
    question: str, better: str, worse: str
) -> None:
    score = answer_type_scorer(question)
    assert score(better) > score(worse)


@pytest.mark.parametrize(
    "sentence",
    [
        "Did you hear the attack?",
        "听到了吗？",
        "Welcome to the show about attacks.",
        "Thank you so much for that attack.",
        "Hi, I'm Zoë, and this is an attack.",
        "In this video we set the attack.",
        "Today we'll talk about attacks.",
        "More on attacks: https://a.example/attack",
    ],
)
def test_sentence_that_cannot_be_an_answer_scores_low(sentence: str) -> None:
    assert answer_type_scorer("What is an attack?")(sentence) < 0.5


@pytest.mark.parametrize("sentence", ["Thanks to oversampling it is clean.", "Now set the attack."])
def test_sentence_that_only_resembles_small_talk_is_not_penalized(sentence: str) -> None:
    assert answer_type_scorer("attack")(sentence) >= 1.0


@pytest.mark.parametrize("junk", ["'", "’ ", " for", "a ", "? ", "(", "what is ", "and "])
def test_patterns_take_bounded_time_on_adversarial_text(junk: str) -> None:
    began = perf_counter()
    answer_type_scorer("What is a " + junk * 400 + "\nx?")("So the " + junk * 2_000 + "x")
    assert perf_counter() - began < 1
