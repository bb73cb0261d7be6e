"""Names and numbers of a question that the library never has."""

import pytest

from app.services.search.unknown_terms import find_unknown_terms


@pytest.mark.parametrize(
    ("question", "unknown", "expected"),
    [
        ("What does the Marlowe compressor cost?", {"marlow"}, ("Marlowe",)),
        ("Is it called Marlowe?", {"marlow"}, ("Marlowe",)),
        ("what does OP_FOO do", {"foo", "op"}, ("OP_FOO",)),
        ("is libfoo99 fast", {"libfoo99"}, ("libfoo99",)),
        ("what changed in version 34", {"34"}, ("34",)),
        ("what changed in 2031 and in 2031", {"2031"}, ("2031",)),
        ("does the McPherson amp hum", {"mcpherson"}, ("McPherson",)),
        # The first word of a sentence is capitalized anyway, and a common word is no name.
        ("Marlowe or another one?", {"marlow"}, ()),
        ("A question. Marlowe or another one?", {"marlow"}, ()),
        ("what does a marlowe cost", {"marlow"}, ()),
        ("what if I'm late and I’ve a Marlowe?", {"m", "ve"}, ()),
        ("IS THERE ANYTHING ABOUT THE MARLOWE 34?", {"anyth", "marlow", "34"}, ("34",)),
        ("What does Marlowe cost?", set(), ()),
        ("What does Marlowe cost?", {"cost"}, ()),
    ],
)
def test_unknown_names_and_numbers_are_found_as_written(
    question: str, unknown: set[str], expected: tuple[str, ...]
) -> None:
    assert find_unknown_terms(question, unknown, "english") == expected


@pytest.mark.parametrize("configuration", ["german", "simple"])
def test_languages_without_capitalized_names_have_no_unknown_names(configuration: str) -> None:
    assert find_unknown_terms("Was kostet der Marlowe?", {"marlowe"}, configuration) == ()
