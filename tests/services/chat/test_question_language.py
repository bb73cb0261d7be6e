"""The language of a question is detected by its script and its function words."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services.chat.question_language import detect_question_language

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("How do I side-chain the bass to the kick?", "en"),
        ("Wie schnell soll der Attack sein?", "de"),
        ("Comment régler le compresseur pour la voix ?", "fr"),
        ("¿Cómo se ajusta el compresor para la voz?", "es"),
        ("コンプレッサーとは何ですか", "ja"),
        ("压缩器怎么设置？", "zh"),
        ("컴프레서는 어떻게 설정하나요?", "ko"),
        ("Как настроить компрессор?", "ru"),
        ("Як налаштувати компресор для вокалу і баса?", "uk"),
        ("Что такое «sidechain» в Ableton?", "ru"),
        ("What does 气 mean for the mix?", "en"),
        ("What is 混音压缩?", "en"),
        ("taproot", None),
        ("C / C++", None),
        ("12 + 3 ?", None),
        ("", None),
    ],
)
def test_language_is_detected_or_uncertain(question: str, language: str | None) -> None:
    assert detect_question_language(question) == language


def judged_questions() -> Iterator[tuple[str, str]]:
    for path in DATA.glob("judged/xquad/queries.*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            yield entry.get("query") or entry["text"], path.suffixes[0][1:]
    for path in DATA.glob("talkqa/questions*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            yield entry["query"], entry["lang"][:2]


def test_languages_of_judged_questions_are_detected() -> None:
    questions = list(judged_questions())
    if not questions:
        pytest.skip(f"{DATA} is not available")
    detected = [(language, detect_question_language(text)) for text, language in questions]
    assert sum(found not in (language, None) for language, found in detected) == 0
    assert sum(found is None for _, found in detected) < 0.02 * len(detected)
