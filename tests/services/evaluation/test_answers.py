"""A reply is checked for what it should tell, and for what it has from nowhere."""

from app.services.evaluation.answers import Quoting, Reply, is_off_topic, summed, tells
from app.services.models.extractive.model import NOTHING_FOUND, quote
from tests.services.samples import source

SOURCES = (
    source(1, "Set the attack to 2 ms.", "Then listen."),
    source(2, "The release follows the tempo."),
)


def test_an_answer_is_told_whatever_its_case_and_marks() -> None:
    assert tells("Set it to 2 MS. [1] Then listen. [1]", "2 ms. then")
    assert not tells("Set it to 2 ms. [1]", "20 ms")
    assert not tells("Listen. [1]", "1")


def test_sentences_of_the_sources_they_name_are_not_foreign() -> None:
    assert not is_off_topic("Set the attack to 2 ms. [1] Then listen. [1]", SOURCES)
    assert not is_off_topic(quote("How fast is the attack? And the release?", SOURCES), SOURCES)
    assert not is_off_topic(NOTHING_FOUND, SOURCES)


def test_anything_else_is_foreign() -> None:
    assert is_off_topic("Set the attack to 3 ms. [1]", SOURCES)
    assert is_off_topic("The release follows the tempo. [1]", SOURCES)
    assert is_off_topic("Then listen. [1] As I always say.", SOURCES)


def test_only_what_was_served_could_be_told() -> None:
    replies = [
        Reply(served=True, told=True, foreign=False),
        Reply(served=True, told=False, foreign=True),
        Reply(served=False, told=True, foreign=False),
    ]
    assert summed(replies) == Quoting(replies=3, served=2, told=0.5, foreign=1)
    assert summed(replies[2:]).told is None
