"""Refusals say what helps, and replies to small talk say what can be asked."""

import pytest

from app.schemas import Retrieval, Source
from app.services.chat.phrasebooks import phrasebooks
from app.services.chat.refusals import refusal, reply_to
from app.services.chat.small_talk import SmallTalk
from tests.services.samples import source

NOTHING = "I found nothing about that in this library."


def found(
    *closest: Source, terms: tuple[str, ...] = (), languages: tuple[str, ...] = ("en",)
) -> Retrieval:
    return Retrieval("none", (), None, (), "lexical", "", closest, "global", terms, languages)


def test_refusal_names_terms_that_the_library_never_has() -> None:
    text = refusal(found(terms=("Quillfish", "[7]")), "en", "en")
    assert text == f"{NOTHING} It never mentions “Quillfish” or “(7)”."


def test_refusal_names_the_librarys_languages_if_the_question_has_another() -> None:
    text = refusal(found(languages=("en", "fr"), terms=("Attack",)), "de", "de")
    assert text.endswith("Diese Sammlung spricht Englisch, Französisch.")


@pytest.mark.parametrize("question_language", ["en", None])
def test_refusal_in_a_language_of_the_library_or_an_uncertain_one_does_not_name_it(
    question_language: str | None,
) -> None:
    assert refusal(found(), "en", question_language) == NOTHING


def test_refusal_lists_the_closest_moments() -> None:
    closest = source(1, "A.", title="Low\nend [2]", start=83), source(2, "B.", title="Mixing")
    assert refusal(found(*closest), "en", "en") == (
        f"{NOTHING} The closest moments are:\n\n- Low end (2), 1:23 [1]\n- Mixing, 0:00 [2]"
    )


def test_unknown_language_falls_back_to_english() -> None:
    assert refusal(found(), "xx", None) == NOTHING


@pytest.mark.parametrize("language", sorted(phrasebooks()))
def test_every_language_has_its_placeholders(language: str) -> None:
    texts = phrasebooks()[language].refusals
    assert texts.unknown.count("{terms}") == 1
    assert texts.languages.count("{languages}") == 1


@pytest.mark.parametrize("language", sorted(phrasebooks()))
def test_every_language_has_names_for_all_languages(language: str) -> None:
    assert phrasebooks()[language].names.keys() == phrasebooks().keys()


def test_reply_about_the_assistant_says_who_writes_the_answers() -> None:
    talk = SmallTalk("identity", "en")
    assert "quotations" in reply_to(talk, model=False)
    assert "language model writes" in reply_to(talk, model=True)


def test_reply_is_one_line_in_the_language_of_the_message() -> None:
    reply = reply_to(SmallTalk("thanks", "de"), model=False)
    assert reply.startswith("Gern geschehen. Frag mich")
    assert "\n" not in reply
