"""Select the passages of a search that become sources."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from app.schemas import CreatorRef, Kind, Sentence
from app.services.search.text import stem_set, stems

# The share of a passage's word sequences that another one must contain for it to be a copy, such as
# a second transcript of the same talk, and the number of stems in such a sequence.
_MIN_CONTAINED, _SEQUENCE = 0.7, 3
# The sources that readers look at first. Moments of a video are grouped among them, but a later
# moment does not push another video's out.
_FIRST_SOURCES = 5


class RetrievedPassage(Struct, frozen=True):
    """A passage found by a search; `first_sentence` is the position of its first sentence."""

    document_id: int
    ordinal: int
    first_sentence: int
    sentences: tuple[Sentence, ...]
    language: str
    kind: Kind
    title: str
    url: str | None
    topic: str | None
    creator: CreatorRef
    score: float


def select_passages(
    passages: Iterable[RetrievedPassage], limit: int, creator: str | None
) -> list[RetrievedPassage]:
    """Return at most `limit` passages, the best first, with those of a document together.

    Adjacent passages are merged. Of several copies of the same words one is returned, that of the
    creator with this slug if there is one.
    """
    merged = _merge_adjacent(sorted(passages, key=lambda p: (p.document_id, p.ordinal)))
    ranked = sorted(merged, key=lambda p: (-p.score, p.document_id, p.ordinal))
    return _group_by_document(_without_copies(ranked, creator), limit)


def _merge_adjacent(passages: Iterable[RetrievedPassage]) -> list[RetrievedPassage]:
    merged: list[RetrievedPassage] = []
    last_ordinal = -1
    for passage in passages:
        if (
            merged
            and merged[-1].document_id == passage.document_id
            and passage.ordinal == last_ordinal + 1
        ):
            merged[-1] = _merge(merged[-1], passage)
        else:
            merged.append(passage)
        last_ordinal = passage.ordinal
    return merged


def _merge(one: RetrievedPassage, following: RetrievedPassage) -> RetrievedPassage:
    # Passages of speech overlap by some sentences.
    overlap = one.first_sentence + len(one.sentences) - following.first_sentence
    return replace(
        one,
        sentences=one.sentences + following.sentences[max(0, overlap) :],
        score=max(one.score, following.score),
    )


def _without_copies(
    ranked: Iterable[RetrievedPassage], creator: str | None
) -> list[RetrievedPassage]:
    kept: list[tuple[RetrievedPassage, frozenset[str]]] = []
    for passage in ranked:
        words = _stem_set(passage)
        for place, (original, original_words) in enumerate(kept):
            # A document may well repeat a phrase with other facts.
            same_document = passage.document_id == original.document_id
            share = 1.0 if same_document else _MIN_CONTAINED
            # The sets of stems are cached, and few passages share most of them.
            if _contains(original_words, words, share) and _contains(
                _stem_sequences(original), _stem_sequences(passage), share
            ):
                if passage.creator.slug == creator != original.creator.slug:
                    kept[place] = replace(passage, score=original.score), words
                break
        else:
            kept.append((passage, words))
    return [passage for passage, _ in kept]


def _contains(whole: frozenset[object], part: frozenset[object], share: float) -> bool:
    return len(whole & part) >= share * len(part)


def _stem_set(passage: RetrievedPassage) -> frozenset[str]:
    return frozenset().union(*(stem_set(s.text, passage.language) for s in passage.sentences))


def _stem_sequences(passage: RetrievedPassage) -> frozenset[tuple[str, ...]]:
    words = stems(" ".join(s.text for s in passage.sentences), passage.language)
    starts = range(max(1, len(words) - _SEQUENCE + 1))
    return frozenset(tuple(words[start : start + _SEQUENCE]) for start in starts)


def _group_by_document(ranked: Sequence[RetrievedPassage], limit: int) -> list[RetrievedPassage]:
    """Return `limit` passages grouped by document, ordered by each document's best passage.

    The first passages stay the first ones, though grouped. A later one of the same document would
    move one of them back, so it is left out, unless its document's group is the last.
    """
    groups: dict[int, list[RetrievedPassage]] = {}
    for passage in ranked[: min(limit, _FIRST_SOURCES)]:
        groups.setdefault(passage.document_id, []).append(passage)
    closed = set(list(groups)[:-1])
    later = [one for one in ranked[_FIRST_SOURCES:] if one.document_id not in closed]
    for passage in later[: max(0, limit - _FIRST_SOURCES)]:
        groups.setdefault(passage.document_id, []).append(passage)
    return [passage for group in groups.values() for passage in group]
