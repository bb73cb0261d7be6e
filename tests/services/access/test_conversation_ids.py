"""Ids of conversations are recognized by the services that share a secret."""

import re

import pytest

from app.limits import CONVERSATION_ID
from app.services.access.conversation_ids import ConversationIds


def test_an_id_is_recognized_with_the_same_secret_only() -> None:
    made = ConversationIds(b"one").new()
    assert re.fullmatch(CONVERSATION_ID, made)
    assert ConversationIds(b"one").made(made)
    assert not ConversationIds(b"other").made(made)
    assert made != ConversationIds(b"one").new()


@pytest.mark.parametrize("given", ["", "c_", "1", "c_" + "0" * 32, "c_" + "0" * 62, "c_é"])
def test_other_ids_are_not_recognized(given: str) -> None:
    assert not ConversationIds(b"one").made(given)


def test_an_altered_id_is_not_recognized() -> None:
    ids = ConversationIds(b"one")
    made = ids.new()
    for place in range(len(made)):
        other = "0" if made[place] != "0" else "1"
        assert not ids.made(made[:place] + other + made[place + 1 :])
