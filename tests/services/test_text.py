"""Names and words are matched however they are written."""

import pytest

from app.services.text import fold, keys, slugify, spaced, stemmer


@pytest.mark.parametrize(
    ("name", "folded", "slug"),
    [
        ("  Zoë   KEATING ", "zoe keating", "zoe-keating"),
        ("Łukasz & Straße", "lukasz & strasse", "lukasz-strasse"),
        ("Sean O’Brien", "sean o'brien", "sean-o-brien"),
        ("音楽 Lab", "音楽 lab", "音楽-lab"),
        ("a/b_c", "a/b_c", "a-b-c"),
    ],
)
def test_names_are_folded(name: str, folded: str, slug: str) -> None:
    assert (fold(name), slugify(name)) == (folded, slug)


def test_a_language_has_its_stemmer_or_a_simple_one() -> None:
    assert [stemmer(tag) for tag in ("en", "pt-BR", "ru_RU", "ja", "xx")] == [
        "english",
        "portuguese",
        "russian",
        "simple",
        "simple",
    ]


def test_keys_are_the_stems_of_words_with_a_subject() -> None:
    assert keys("How fast are the Compressors attacking?", "english") == keys(
        "Fast compressor attacks", "english"
    )


def test_words_without_spaces_are_paired_letters() -> None:
    assert keys("低音を bass", "simple") == ["低音", "音を", "bass"]
    assert keys("EQの設定1176", "simple") == ["eq", "の設", "設定", "1176"]


def test_scripts_without_spaces_are_cut_into_pairs_to_be_searched() -> None:
    assert spaced("低音を bass 音").split() == ["低音", "音を", "bass", "音"]
