"""A text's language is told, or found in the text."""

import json
from pathlib import Path

import pytest

from app.services.ingest.parse.language import language_of

XQUAD = Path(__file__).parents[5] / "shared" / "data" / "judged" / "xquad"

TEXTS = {
    "en": "Turn the release down until the kick breathes again, and leave the attack alone while"
    " you listen to the whole mix from the next room.",
    "de": "Dreh die Höhen zurück, bis die Stimme wieder atmet, und lass den Rest so stehen,"
    " während du die ganze Mischung aus dem Nebenzimmer hörst.",
    "no": "Skru ned bassen til stemmen kan høres igjen, og la resten være i fred mens du hører på"
    " hele låten fra rommet ved siden av, ikke sant.",
    "pt": "Abaixe os graves até que a voz respire outra vez, e não mexa no resto enquanto você"
    " ouve a música inteira lá da outra sala.",
    "ru": "Убавьте низкие частоты, пока голос снова не задышит, и не трогайте остальное, пока"
    " слушаете всю запись из соседней комнаты.",
    "ja": "声がまた息をするまで低音を下げてください。隣の部屋から曲全体を聴くあいだ、ほかの"
    "つまみには触らないでください。",
    "zh": "把低音调低，直到人声重新清楚起来。在隔壁房间听整首歌的时候，其他旋钮都不要动，"
    "听完以后再慢慢决定怎么改。",
    "th": "ลดเสียงต่ำลงจนกว่าเสียงร้องจะชัดขึ้นอีกครั้ง แล้วอย่าแตะปุ่มอื่นขณะที่ฟังเพลงทั้งหมดจากห้องข้าง ๆ",
    "ko": "목소리가 다시 또렷해질 때까지 저음을 줄이고, 옆방에서 곡 전체를 들어 보는 동안에는"
    " 다른 손잡이를 건드리지 마세요.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_tells_its_language(language: str) -> None:
    assert language_of(TEXTS[language], None) == language


@pytest.mark.parametrize("text", ["", "Hello.", "Ratio: 4:1", "https://example.com/le/petit/chat"])
def test_too_little_to_tell_is_english(text: str) -> None:
    assert language_of(text, None) == "en"


@pytest.mark.parametrize(("told", "language"), [("en", "ja"), ("de", "en"), ("ja", "zh")])
def test_a_told_language_that_the_text_contradicts_yields(told: str, language: str) -> None:
    assert language_of(TEXTS[language], told) == language


@pytest.mark.parametrize(
    ("told", "language"),
    [("pt-BR", "pt"), ("zh-Hant", "zh"), ("nb", "no"), ("en_US", "en"), ("gsw", "de")],
)
def test_a_told_language_stays_where_it_may_be_right(told: str, language: str) -> None:
    assert language_of(TEXTS[language], told) == told


def test_a_few_words_contradict_nothing() -> None:
    assert language_of("Guten Tag, meine Damen und Herren.", "en") == "en"


def test_a_foreign_beginning_does_not_decide() -> None:
    song = f"{TEXTS['en']} " * 4

    assert language_of(song + TEXTS["de"] * 60, None) == "de"


def test_capitals_and_figures_are_no_hindrance() -> None:
    assert language_of(f"12:01 {TEXTS['en'].upper()} 00:02:03,500", None) == "en"


@pytest.mark.skipif(not XQUAD.is_dir(), reason="the judged paragraphs are not here")
@pytest.mark.parametrize("language", ["en", "de", "ru", "zh"])
def test_real_paragraphs_tell_their_language(language: str) -> None:
    lines = (XQUAD / f"corpus.{language}.jsonl").read_text().splitlines()
    found = [language_of(json.loads(line)["text"], None) for line in lines]

    assert found.count(language) == len(lines)
