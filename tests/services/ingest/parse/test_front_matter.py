"""Parsing of a page's front matter."""

import pytest

from app.services.ingest.bounds import MAX_FRONT_MATTER_BYTES
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.front_matter import front_matter, front_matter_values


def test_front_matter_is_split_from_the_text() -> None:
    text = "---\ntitle: A talk\ndate: 2024-05-31\ntags: [mixing, bass]\n---\n\nHello.\n"

    metadata, rest = front_matter(text)

    assert metadata["title"] == "A talk"
    assert metadata["date"] == "2024-05-31"
    assert front_matter_values(metadata, "topic", "tags") == ["mixing", "bass"]
    assert rest == "Hello."


def test_invalid_yaml_is_read_line_by_line() -> None:
    metadata, rest = front_matter("---\ntitle: Bass: a talk: two\nurl: 'x'\n---\nHello.\n")

    assert metadata == {"title": "Bass: a talk: two", "url": "x"}
    assert rest.strip() == "Hello."


def test_empty_value_in_invalid_yaml_takes_only_the_list_that_follows() -> None:
    metadata, _ = front_matter(
        "---\ntitle: Reverb: the basics\ntopic:\nurl: https://example.com\n"
        "speakers:\n  - Ann Lee\n  - 'Tom Fox'\n---\nHello.\n"
    )

    assert metadata == {
        "title": "Reverb: the basics",
        "url": "https://example.com",
        "speakers": ["Ann Lee", "Tom Fox"],
    }


def test_text_between_two_rules_is_not_front_matter() -> None:
    text = "---\n\nHello there.\n\n---\n\nGoodbye.\n"

    assert front_matter(text) == ({}, text)


def test_values_are_read_as_they_are_written() -> None:
    metadata, _ = front_matter(
        "---\ntitle: 007\ntopic: yes\nkind: ~\nurl: null\nspeakers: [1.10, ~, Ann, {a: b}]\n"
        "lang: 'null'\nextra: {a: [b]}\n---\nHello.\n"
    )

    assert metadata == {
        "title": "007",
        "topic": "yes",
        "speakers": ["1.10", "Ann"],
        "lang": "null",
    }


def test_python_objects_are_not_made() -> None:
    metadata, _ = front_matter("---\ntitle: !!python/object/apply:os.abort []\n---\nHello.\n")

    assert metadata == {"title": []}


def test_star_at_the_start_of_a_value_is_not_an_alias() -> None:
    metadata, _ = front_matter("---\ntitle: *bold\n---\nHello.\n")

    assert metadata == {"title": "*bold"}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("a: " + "[" * 40_000, "more than 20 levels"),
        ("a: " + "{a: " * 10_000, "more than 20 levels"),
        ("- " * 20_000 + "x", "more than 20 levels"),
        ("\n".join(" " * n + "a:" for n in range(30)), "more than 20 levels"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "has an anchor"),
        ("a: &a {x: 1}\nb: {<<: *a}", "has an anchor"),
        ("title: " + "x" * MAX_FRONT_MATTER_BYTES, "more than 64 KB"),
    ],
)
def test_front_matter_that_could_need_much_memory_is_broken(block: str, reason: str) -> None:
    with pytest.raises(BrokenFile, match=reason):
        front_matter(f"---\n{block}\n---\nHello.\n")


def test_text_after_an_unclosed_rule_may_be_long() -> None:
    text = "---\n" + "Hello. " * MAX_FRONT_MATTER_BYTES

    assert front_matter(text) == ({}, text)
