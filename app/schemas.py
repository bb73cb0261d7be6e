"""Structs for requests, responses, events and stored turns.

The OpenAPI document is generated from those that clients see, descriptions included.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from app.limits import (
    CONVERSATION_ID,
    CREATOR_LIMIT,
    QUERY_LIMIT,
    TURN_ID,
    full_match,
    trimmed_text,
)

Tier: TypeAlias = Annotated[
    Literal["creator", "domain", "global", "none"],
    Meta(
        description="Where the sources are from: `creator`: the named creator; `domain`: any "
        "creator on the same topics; `global`: the whole library; `none`: the library has no "
        "answer."
    ),
]
Kind: TypeAlias = Annotated[
    Literal["moment", "page"], Meta(description="A moment of a video, or a page.")
]
FinishReason: TypeAlias = Annotated[
    Literal["stop", "length", "stopped", "abandoned", "refused"],
    Meta(
        description="`stop`: complete; `length`: cut at the model's limit, or at 64 KB; `stopped`: "
        "by a `DELETE`; `abandoned`: no client was connected for too long; `refused`: the library "
        "has no answer, the message was small talk, or the model refused."
    ),
]
Matching: TypeAlias = Annotated[
    Literal["hybrid", "lexical"],
    Meta(description="`hybrid`: words and embeddings were compared; `lexical`: only words."),
]
Verdict: TypeAlias = Annotated[
    Literal["answers", "too little", "others say more", "not needed"],
    Meta(description="Why this tier was or was not used."),
]

# msgspec does not check `extra_json_schema`. `handlers/codec.py` checks requests, with readable
# error messages; data that the service stored itself is not checked again.
Query: TypeAlias = Annotated[
    str,
    Meta(
        description=f"The question: 1 to {QUERY_LIMIT} characters, not counting surrounding white "
        "space, without NUL.",
        extra_json_schema={"pattern": full_match(trimmed_text(QUERY_LIMIT))},
    ),
]
CreatorName: TypeAlias = Annotated[
    str,
    Meta(
        description=f"A slug or a display name, case-insensitive: 1 to {CREATOR_LIMIT} characters, "
        "not counting surrounding white space, without NUL.",
        extra_json_schema={"pattern": full_match(trimmed_text(CREATOR_LIMIT))},
    ),
]
ConversationId: TypeAlias = Annotated[
    str,
    Meta(
        description="1 to 64 of the characters `A-Z a-z 0-9 _ -`.",
        extra_json_schema={"pattern": full_match(CONVERSATION_ID)},
    ),
]
TurnId: TypeAlias = Annotated[
    str,
    Meta(
        description="The id of a question and its answer.",
        extra_json_schema={"pattern": full_match(TURN_ID)},
    ),
]
Number: TypeAlias = Annotated[
    int,
    Meta(
        description="The number in the answer's marker `[1]`, from 1.",
        extra_json_schema={"minimum": 1},
    ),
]
Count: TypeAlias = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
Share: TypeAlias = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})]
Milliseconds: TypeAlias = Annotated[float, Meta(extra_json_schema={"minimum": 0})]
Status: TypeAlias = Annotated[
    int, Meta(description="The HTTP status.", extra_json_schema={"minimum": 400, "maximum": 599})
]


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A question."""

    query: Query
    creator: Annotated[
        CreatorName | None, Meta(description="Whose material to answer from, if possible.")
    ] = None
    conversation_id: Annotated[
        ConversationId | None,
        Meta(description="The conversation to continue; without it a new one starts."),
    ] = None


class CreatorRef(Struct, frozen=True):
    """A creator in a citation or scope."""

    slug: str
    name: str


class CreatorEntry(Struct, frozen=True):
    """A creator in the list of creators, with the size of their library."""

    slug: str
    name: str
    videos: Count
    pages: Count


class Sentence(Struct, frozen=True, array_like=True):
    """A sentence of a passage; `start` and `end` are seconds into the video."""

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None


class Citation(Struct, frozen=True):
    """A source of an answer."""

    number: Number
    kind: Kind
    title: str
    creator: CreatorRef
    topic: str | None
    url: Annotated[
        str | None,
        Meta(description="A link to the source; for a video, to the moment if possible."),
    ]
    start_seconds: Annotated[float | None, Meta(description="Start of the moment in the video.")]
    end_seconds: Annotated[float | None, Meta(description="End of the moment in the video.")]
    snippet: Annotated[str, Meta(description="A verbatim excerpt of the source.")]
    score: Annotated[Share, Meta(description="How well the source matches the question.")]


class Source(Struct, frozen=True):
    """A citation with its full passage and that passage's language."""

    citation: Citation
    sentences: tuple[Sentence, ...]
    language: str


class TierHits(Struct, frozen=True):
    """The result of the search in one tier."""

    tier: Tier
    hits: Annotated[Count, Meta(description="How many of the best passages match the question.")]
    confidence: Annotated[
        Share,
        Meta(description="The probability that the tier has an answer; the threshold is 0.5."),
    ]
    verdict: Verdict


class Retrieval(Struct, frozen=True):
    """A search result: the tier that answers, its sources best first, and all tiers tried.

    `question` is the question as searched, with its spelling corrected.
    With tier `none`, `closest` may hold up to three nearest sources that are too uncertain for an
    answer, and `closest_tier` is the tier they are from. `unknown_terms` are names and numbers of
    the question, as written there, that the library never has. `library_languages` are the primary
    language subtags that hold at least a tenth of the library, the most frequent first.
    """

    tier: Tier
    sources: tuple[Source, ...]
    creator: CreatorRef | None
    tiers: tuple[TierHits, ...]
    matching: Matching
    question: str
    closest: tuple[Source, ...] = ()
    closest_tier: Tier = "none"
    unknown_terms: tuple[str, ...] = ()
    library_languages: tuple[str, ...] = ()


class Scope(Struct, frozen=True):
    """What was searched, and the result in each tier."""

    creator: Annotated[
        CreatorRef | None,
        Meta(description="The named creator, if the library has one of that name."),
    ]
    query: Annotated[
        str,
        Meta(
            description="The question as searched: a follow-up is completed, misspelt words are "
            "corrected, and a translation may follow in parentheses. Small talk is not searched."
        ),
    ]
    tiers: tuple[TierHits, ...]
    matching: Matching


class SearchResult(Struct, frozen=True):
    """The result of a search without an answer."""

    cascade_tier: Tier
    scope: Scope
    citations: tuple[Citation, ...]


class CitationSpan(Struct, frozen=True):
    """The place of a citation marker in the answer, in Unicode code points, `end` exclusive."""

    number: Number
    start: Count
    end: Count


class Usage(Struct, frozen=True):
    """Token counts reported by the model."""

    prompt_tokens: Count
    completion_tokens: Count


class Timings(Struct, frozen=True):
    """Milliseconds from the start of the turn."""

    retrieval: Milliseconds
    first_token: Milliseconds | None
    total: Milliseconds


class FieldError(Struct, frozen=True):
    """An invalid field."""

    pointer: Annotated[
        str,
        Meta(
            description="A JSON pointer into the body, such as `/query`, or the name of a "
            "parameter."
        ),
    ]
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem document per RFC 9457."""

    type: Annotated[
        str, Meta(description="A URN that identifies the kind of problem, or `about:blank`.")
    ]
    title: str
    status: Status
    detail: Annotated[str, Meta(description="What is wrong in this case, and what to do.")]
    errors: Annotated[tuple[FieldError, ...], Meta(description="The invalid fields, if any.")] = ()


class ErrorEvent(Struct, frozen=True):
    """The last event of a turn that failed: a problem document, and whether to retry."""

    type: str
    title: str
    status: Status
    detail: str
    retryable: Annotated[bool, Meta(description="Whether the same question may work later.")]


class Sources(Struct, frozen=True):
    """The first event of every stream."""

    citations: tuple[Citation, ...]


class Token(Struct, frozen=True, gc=False):
    """The next piece of the answer."""

    text: str


class Done(Struct, frozen=True):
    """The last event of a turn that succeeded."""

    cascade_tier: Tier
    conversation_id: ConversationId
    turn_id: TurnId
    finish_reason: FinishReason
    citations: Annotated[
        tuple[CitationSpan, ...], Meta(description="The citation markers in the answer.")
    ]
    scope: Scope
    usage: Usage | None
    timings_ms: Timings
    memory: Annotated[
        Literal["kept", "unavailable"],
        Meta(description="Whether the turn was stored for follow-up questions."),
    ]


class Failed(Struct, frozen=True):
    """The last event of a turn that failed with an error of this kind."""

    kind: str
    detail: str
    retryable: bool


Event: TypeAlias = Sources | Token | Done | Failed


class PastTurn(Struct, frozen=True):
    """A stored turn; `query` is the question as searched, `citations` are those in the answer."""

    turn_id: TurnId
    question: str
    query: str
    answer: str
    citations: tuple[Citation, ...]
    tier: Tier
    at: Annotated[
        str, Meta(description="When the turn ended.", extra_json_schema={"format": "date-time"})
    ]
    finish_reason: FinishReason = "stop"


class Conversation(Struct, frozen=True):
    """The latest turns of a conversation."""

    conversation_id: ConversationId
    turns: tuple[PastTurn, ...]


class Readiness(Struct, frozen=True):
    """Whether the worker accepts questions, and the state of its parts."""

    ready: bool
    parts: Mapping[str, str]
