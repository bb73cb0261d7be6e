"""Parsing of Markdown into plain blocks."""

from app.services.ingest.parse.markdown import (
    Block,
    first_heading,
    parse_blocks,
)


def test_footnotes_stay_without_their_references() -> None:
    text = "Loud[^1] is loud [^a].\n\n`[^1]` stays.\n\n[^1]: One.\n[^a]: As they say.\n"

    assert [" ".join(one.lines) for one in parse_blocks(text)] == [
        "Loud is loud.",
        "[^1] stays.",
        "One.",
        "As they say.",
    ]


def test_block_has_the_path_of_its_headings() -> None:
    text = "# Talk\nIn.\n## One\nA.\n### Deep *down*\nB.\n## Two\nC.\n"

    assert [(one.heading, one.lines) for one in parse_blocks(text, "talk")] == [
        ("", ("In.",)),
        ("One", ("A.",)),
        ("One > Deep down", ("B.",)),
        ("Two", ("C.",)),
    ]
    assert parse_blocks(text)[1].heading == "Talk > One"
    assert first_heading(text) == "Talk"


def test_inline_markup_is_removed() -> None:
    text = (
        "Set **the** _attack_ to `10 ms`, see [the manual](https://example.com),"
        " <b>not</b> ![a picture](x.png) 3 \\* 4 &amp; <https://example.com/x>."
    )

    assert parse_blocks(text)[0].lines == (
        "Set the attack to 10 ms, see the manual, not 3 * 4 & https://example.com/x.",
    )


def test_list_items_code_lines_table_rows_and_html_are_separate_blocks() -> None:
    text = (
        "- one\n- two\n  - three\n\n```\na = 1\n\nb = 2\n```\n\n"
        "| A | B |\n|---|---|\n| 1 | 2 |\n\n"
        "<table><tr><td>x</td></tr>\n<tr><td>y &amp; z</td></tr></table>\n\n<!-- nothing -->\n"
    )

    assert [" ".join(one.lines) for one in parse_blocks(text)] == [
        *("one", "two", "three", "a = 1", "b = 2", "A | B", "1 | 2", "x", "y & z"),
    ]


def test_bold_words_before_a_colon_or_a_time_are_a_lead() -> None:
    found = parse_blocks("**Ann:** Hi.\n\n**Bob**: Hello.\n\n**Cy** 00:01\n\n**No** lead: here.\n")

    assert found[0] == Block(("Hi.",), lead="Ann")
    assert [one.lead for one in found] == ["Ann", "Bob", "Cy", None]
    assert found[3].lines == ("No lead: here.",)
