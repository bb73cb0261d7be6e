"""Every Struct that crosses a door: requests, citations, events, turns kept in memory, problems."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

Tier: TypeAlias = Literal["creator", "domain", "global", "none"]
Kind: TypeAlias = Literal["moment", "page"]
FinishReason: TypeAlias = Literal["stop", "length", "stopped", "abandoned", "refused"]

# Whether words and embeddings were compared, or words alone.
Matching: TypeAlias = Literal["hybrid", "lexical"]
# Why a tier answers or does not: a wider one may have much better passages, or not be needed.
Verdict: TypeAlias = Literal["answers", "too little", "others say more", "not needed"]

QUERY_LIMIT = 1_000
CREATOR_LIMIT = 200


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A question, as `POST /api/v1/chat` takes it; its rules are checked in `handlers/wire.py`."""

    query: str
    creator: str | None = None
    conversation_id: str | None = None


class CreatorRef(Struct, frozen=True):
    """A creator, as citations and scopes name one."""

    slug: str
    name: str


class CreatorEntry(Struct, frozen=True):
    """A creator, as the picker lists one."""

    slug: str
    name: str
    videos: int
    pages: int


class Sentence(Struct, frozen=True, array_like=True):
    """One sentence of a passage, with its place in the video in seconds where that is known."""

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None


class Citation(Struct, frozen=True):
    """A source as the client sees it; `score` is between 0 and 1."""

    number: int
    kind: Kind
    title: str
    creator: CreatorRef
    topic: str | None
    url: str | None
    start_seconds: float | None
    end_seconds: float | None
    snippet: str
    score: float


class Source(Struct, frozen=True):
    """A citation with all the sentences behind it and the language they are in."""

    citation: Citation
    sentences: tuple[Sentence, ...]
    language: str


class TierHits(Struct, frozen=True):
    """What a tier has: how many of its best passages are on the question, how sure that is.

    `confidence` is between 0 and 1, and enough from 0.5 on; `verdict` says what came of it.
    """

    tier: Tier
    hits: int
    confidence: float
    verdict: Verdict


class Retrieval(Struct, frozen=True):
    """What a search found: the tier that answers, its sources best first, what each tier has."""

    tier: Tier
    sources: tuple[Source, ...]
    creator: CreatorRef | None
    tiers: tuple[TierHits, ...]
    matching: Matching


class Scope(Struct, frozen=True):
    """What was searched, for whom, how much each tier had, and what was compared."""

    creator: CreatorRef | None
    query: str
    tiers: tuple[TierHits, ...]
    matching: Matching


class SearchResult(Struct, frozen=True):
    """What `GET /api/v1/search` gives."""

    cascade_tier: Tier
    scope: Scope
    citations: tuple[Citation, ...]


class Mark(Struct, frozen=True):
    """Where a citation mark stands in the answer, in Unicode code points, `end` exclusive."""

    number: int
    start: int
    end: int


class Usage(Struct, frozen=True):
    """What the model counted, in tokens."""

    prompt_tokens: int
    completion_tokens: int


class Timings(Struct, frozen=True):
    """How long the parts of a turn took, in milliseconds since it began."""

    retrieval: float
    first_token: float | None
    total: float


class FieldError(Struct, frozen=True):
    """A field at fault: its JSON pointer, and what is wrong."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


class Sources(Struct, frozen=True):
    """The first event of every stream."""

    citations: tuple[Citation, ...]


class Token(Struct, frozen=True, gc=False):
    """The next piece of the answer."""

    text: str


class Done(Struct, frozen=True):
    """The last event of a turn that ended well."""

    cascade_tier: Tier
    conversation_id: str
    turn_id: str
    finish_reason: FinishReason
    citations: tuple[Mark, ...]
    scope: Scope
    usage: Usage | None
    timings_ms: Timings
    memory: Literal["kept", "unavailable"]


class Failed(Struct, frozen=True):
    """The last event of a turn that broke: a problem document, and whether to try again."""

    type: str
    title: str
    status: int
    detail: str
    retryable: bool


Event: TypeAlias = Sources | Token | Done | Failed


class PastTurn(Struct, frozen=True):
    """A question and its answer, as memory keeps them; `query` is what was searched."""

    turn_id: str
    question: str
    query: str
    answer: str
    citations: tuple[Citation, ...]
    tier: Tier
    at: str


class Conversation(Struct, frozen=True):
    """What `GET /api/v1/conversations/{id}` gives."""

    conversation_id: str
    turns: tuple[PastTurn, ...]


class Readiness(Struct, frozen=True):
    """What `GET /readyz` gives: whether the worker can serve, and the state of each part."""

    ready: bool
    parts: Mapping[str, str]
