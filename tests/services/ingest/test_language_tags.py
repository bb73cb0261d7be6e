"""Language tags in metadata and in file names."""

import pytest

from app.services.ingest.language_tags import parse_language, split_language


@pytest.mark.parametrize(
    ("stated", "tag"),
    [
        ("German", "de"),
        ("eng", "en"),
        ("pt_BR", "pt-BR"),
        ("zh_Hans", "zh-Hans"),
        ("EN", "en"),
        ("Klingon", None),
        (None, None),
    ],
)
def test_language_is_read_from_tags_codes_and_names(stated: str | None, tag: str | None) -> None:
    assert parse_language(stated) == tag


@pytest.mark.parametrize(
    ("stem", "name", "language"),
    [
        ("talk.en", "talk", "en"),
        ("talk.pt-BR", "talk", "pt-BR"),
        ("talk.zh-Hans", "talk", "zh-Hans"),
        ("talk.es-419", "talk", "es-419"),
        ("talk.en-orig", "talk", "en"),
        ("talk.eng", "talk", "en"),
        ("talk.ger", "talk", "de"),
        ("final.mix", "final.mix", None),
        ("talk.hd", "talk.hd", None),
        ("part.one-two", "part.one-two", None),
        ("talk", "talk", None),
    ],
)
def test_only_a_known_language_is_split_from_a_file_name(
    stem: str, name: str, language: str | None
) -> None:
    assert split_language(stem) == (name, language)
