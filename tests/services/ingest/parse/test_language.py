"""Detection of a text's language."""

import json
from pathlib import Path

import pytest

from app.services.ingest.parse.language import detect_language

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
def test_language_is_detected(language: str) -> None:
    assert detect_language(TEXTS[language], None) == language


@pytest.mark.parametrize("text", ["", "Hello.", "Ratio: 4:1", "https://example.com/le/petit/chat"])
def test_text_too_short_to_detect_counts_as_english(text: str) -> None:
    assert detect_language(text, None) == "en"


@pytest.mark.parametrize(("declared", "language"), [("en", "ja"), ("de", "en"), ("ja", "zh")])
def test_contradicted_declared_language_is_replaced(declared: str, language: str) -> None:
    assert detect_language(TEXTS[language], declared) == language


@pytest.mark.parametrize(
    ("declared", "language"),
    [("pt-BR", "pt"), ("zh-Hant", "zh"), ("nb", "no"), ("en_US", "en"), ("gsw", "de")],
)
def test_plausible_declared_language_is_kept(declared: str, language: str) -> None:
    assert detect_language(TEXTS[language], declared) == declared


def test_a_few_words_do_not_replace_the_declared_language() -> None:
    assert detect_language("Guten Tag, meine Damen und Herren.", "en") == "en"


def test_beginning_in_another_language_does_not_decide() -> None:
    song = f"{TEXTS['en']} " * 4

    assert detect_language(song + TEXTS["de"] * 60, None) == "de"


def test_capitals_and_numbers_do_not_mislead_detection() -> None:
    assert detect_language(f"12:01 {TEXTS['en'].upper()} 00:02:03,500", None) == "en"


@pytest.mark.slow
@pytest.mark.skipif(not XQUAD.is_dir(), reason="the XQuAD paragraphs are not available")
@pytest.mark.parametrize("language", ["en", "de", "ru", "zh"])
def test_language_of_real_paragraphs_is_detected(language: str) -> None:
    lines = (XQUAD / f"corpus.{language}.jsonl").read_text().splitlines()
    found = [detect_language(json.loads(line)["text"], None) for line in lines]

    assert found.count(language) == len(lines)
