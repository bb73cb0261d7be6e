"""Answers of the quoting answerer come in; whether they tell what was asked goes out. Pure."""

import re
from collections.abc import Sequence

from msgspec import Struct

from app.schemas import Source
from app.services.chat.citations import without_marks
from app.services.evaluation.questions import folded
from app.services.models.extractive.model import NOTHING_FOUND

_QUOTED = re.compile(r"\s*(.*?) \[(\d+)\]", re.DOTALL)


class Reply(Struct, frozen=True):
    """What came of one question: was its passage served, does the reply tell the answer.

    `foreign` says that something in the reply stands in no source that it names.
    """

    served: bool
    told: bool
    foreign: bool


class Quoting(Struct, frozen=True):
    """How the quoting answerer did on the questions whose answers are known.

    `told` is the share of replies that hold the answer's words, of the `served` questions: those
    with a passage that answers among their sources. `foreign` counts replies of all `replies`.
    """

    replies: int
    served: int
    told: float | None
    foreign: int


def summed(replies: Sequence[Reply]) -> Quoting:
    """Sum up the replies of a set."""
    served = [one for one in replies if one.served]
    return Quoting(
        replies=len(replies),
        served=len(served),
        told=sum(one.told for one in served) / len(served) if served else None,
        foreign=sum(one.foreign for one in replies),
    )


def tells(reply: str, answer: str) -> bool:
    """Tell whether an answer's words stand in a reply; case and white space do not matter."""
    return folded(answer) in folded(without_marks(reply))


def is_off_topic(reply: str, sources: Sequence[Source]) -> bool:
    """Tell whether a reply says anything but sentences of the sources it names for them."""
    if reply == NOTHING_FOUND:
        return False
    said = {(one.citation.number, s.text) for one in sources for s in one.sentences}
    if any((int(number), text) not in said for text, number in _QUOTED.findall(reply)):
        return True
    return bool(_QUOTED.sub("", reply).strip())
