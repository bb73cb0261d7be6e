"""Names and words are matched however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.search.text import fold, keys, slugify, spaced, stemmer


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
    assert [stemmer(tag) for tag in ("en", "pt-BR", "ru_RU", "et", "ja", "xx")] == [
        "english",
        "portuguese",
        "russian",
        "estonian",
        "simple",
        "simple",
    ]


def test_keys_are_the_stems_of_words_with_a_subject() -> None:
    assert keys("How fast are the Compressors attacking?", "english") == keys(
        "Fast compressor attacks", "english"
    )


def test_a_word_has_the_same_keys_whatever_stands_around_it_and_however_often() -> None:
    written = ("Side-chain!", "“side-chain”", "(SIDE–CHAIN),", "side chain")
    assert {tuple(keys(text, "english")) for text in written * 2} == {("side", "chain")}
    assert keys("Side-chains", "simple") == ["side", "chains"]


def test_words_without_spaces_are_paired_letters() -> None:
    assert keys("低音を bass", "simple") == ["低音", "音を", "bass"]
    assert keys("EQの設定1176", "simple") == ["eq", "の設", "設定", "1176"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("低音を bass 音", "低音 音を 低 音 bass 音"),
        ("コンプ", "コン ンプ"),
        ("佐々木・ビル", "佐々 々木 佐 々 木 ・ ビル"),
        ("สาย", "สา าย"),
        ("2024年にEQの1,5倍", "2024 年に 年 EQ の 1,5 倍"),
    ],
)
def test_scripts_without_spaces_are_cut_into_what_may_be_a_word(text: str, words: str) -> None:
    assert spaced(text).split() == words.split()


HAN = st.text("的压缩器设置低音是蒸", min_size=1, max_size=12)


@given(before=HAN, word=HAN, after=HAN)
def test_a_word_is_found_wherever_it_stands_in_a_run(before: str, word: str, after: str) -> None:
    assert set(spaced(word).split()) <= set(spaced(before + word + after).split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("side-chain, 1998–2000, −6 dB", "side chain, 1998 2000, 6 dB"),
        ("Node.js runs.So do 3.5 and 1,000.", "Node js runs So do 3.5 and 1,000"),
        ("ＢＴＣ １９９０ ﾊﾟﾝ ﬁlter", "BTC 1990 パン filter"),
        ("\ufeffVer\xadhal\xadten", "Verhalten"),
        ("cafe\u0301 6½ x²", "café 6½ x²"),
    ],
)
def test_letters_have_one_shape_and_words_come_apart(text: str, words: str) -> None:
    assert spaced(text).split() == words.split()


def test_words_that_are_written_as_one_are_found_together_and_apart() -> None:
    assert spaced("LarryPage at iOS and HTML").split() == [
        *("LarryPage", "Larry", "Page", "at", "iOS", "and", "HTML"),
    ]
