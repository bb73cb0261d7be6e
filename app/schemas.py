"""Every Struct that crosses a door: requests, citations, events, turns kept in memory, problems.

Those that clients see say what their fields mean: the OpenAPI document is made from them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from app.limits import CONVERSATION_ID, CREATOR_LIMIT, QUERY_LIMIT, TURN_ID, trimmed, whole

Tier: TypeAlias = Annotated[
    Literal["creator", "domain", "global", "none"],
    Meta(
        description="Whose material: the named creator's, that of others on the creator's topics, "
        "the whole library, or nobody's."
    ),
]
Kind: TypeAlias = Annotated[
    Literal["moment", "page"], Meta(description="A moment of a video, or a page.")
]
FinishReason: TypeAlias = Annotated[
    Literal["stop", "length", "stopped", "abandoned", "refused"],
    Meta(
        description="`stop`: whole; `length`: cut by the model's limit; `stopped`: by a `DELETE`; "
        "`abandoned`: nobody watched; `refused`: the library has nothing on it, or the model "
        "would not answer."
    ),
]
Matching: TypeAlias = Annotated[
    Literal["hybrid", "lexical"],
    Meta(description="Whether words and embeddings were compared, or words alone."),
]
Verdict: TypeAlias = Annotated[
    Literal["answers", "too little", "others say more", "not needed"],
    Meta(description="Why the tier answers or does not."),
]

# `extra_json_schema` is told and not checked by msgspec: `handlers/wire.py` does that, with words
# for people, and what we write ourselves is not checked when memory gives it back.
Query: TypeAlias = Annotated[
    str,
    Meta(
        description=f"The question: 1 to {QUERY_LIMIT} characters, not counting white space around "
        "it, and no NUL.",
        extra_json_schema={"pattern": whole(trimmed(QUERY_LIMIT))},
    ),
]
CreatorName: TypeAlias = Annotated[
    str,
    Meta(
        description=f"A slug or a display name, in upper or lower case: 1 to {CREATOR_LIMIT} "
        "characters, not counting white space around it, and no NUL.",
        extra_json_schema={"pattern": whole(trimmed(CREATOR_LIMIT))},
    ),
]
ConversationId: TypeAlias = Annotated[
    str,
    Meta(
        description="1 to 64 of `A-Z a-z 0-9 _ -`.",
        extra_json_schema={"pattern": whole(CONVERSATION_ID)},
    ),
]
TurnId: TypeAlias = Annotated[
    str,
    Meta(description="A question with its answer.", extra_json_schema={"pattern": whole(TURN_ID)}),
]
Number: TypeAlias = Annotated[
    int,
    Meta(
        description="The number in the answer's mark `[1]`, from 1.",
        extra_json_schema={"minimum": 1},
    ),
]
Count: TypeAlias = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
Share: TypeAlias = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})]
Milliseconds: TypeAlias = Annotated[float, Meta(extra_json_schema={"minimum": 0})]
Status: TypeAlias = Annotated[
    int,
    Meta(description="The HTTP status.", extra_json_schema={"minimum": 400, "maximum": 599}),
]


class ChatRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A question."""

    query: Query
    creator: Annotated[
        CreatorName | None, Meta(description="Whose material is to answer, if it can.")
    ] = None
    conversation_id: Annotated[
        ConversationId | None, Meta(description="What it follows; without it a new one begins.")
    ] = None


class CreatorRef(Struct, frozen=True):
    """A creator, as citations and scopes name one."""

    slug: str
    name: str


class CreatorEntry(Struct, frozen=True):
    """A creator, as the picker lists one."""

    slug: str
    name: str
    videos: Count
    pages: Count


class Sentence(Struct, frozen=True, array_like=True):
    """One sentence of a passage, with its place in the video in seconds where that is known."""

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
        str | None, Meta(description="A link to it; a video's starts at the moment, where it can.")
    ]
    start_seconds: Annotated[float | None, Meta(description="Where in the video it begins.")]
    end_seconds: Annotated[float | None, Meta(description="Where in the video it ends.")]
    snippet: Annotated[str, Meta(description="What it says there, in its own words.")]
    score: Annotated[Share, Meta(description="How well it fits the question.")]


class Source(Struct, frozen=True):
    """A citation with all the sentences behind it and the language they are in."""

    citation: Citation
    sentences: tuple[Sentence, ...]
    language: str


class TierHits(Struct, frozen=True):
    """What a tier has on a question."""

    tier: Tier
    hits: Annotated[Count, Meta(description="How many of its best passages are on the question.")]
    confidence: Annotated[
        Share, Meta(description="How sure the search is of that; enough from 0.5 on.")
    ]
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

    creator: Annotated[
        CreatorRef | None,
        Meta(description="The creator that was named, where there is such a one."),
    ]
    query: Annotated[str, Meta(description="The question as it was searched.")]
    tiers: tuple[TierHits, ...]
    matching: Matching


class SearchResult(Struct, frozen=True):
    """What the search alone finds."""

    cascade_tier: Tier
    scope: Scope
    citations: tuple[Citation, ...]


class Mark(Struct, frozen=True):
    """Where a citation mark stands in the answer, in Unicode code points, `end` exclusive."""

    number: Number
    start: Count
    end: Count


class Usage(Struct, frozen=True):
    """What the model counted, in tokens."""

    prompt_tokens: Count
    completion_tokens: Count


class Timings(Struct, frozen=True):
    """How long the parts of a turn took, in milliseconds since it began."""

    retrieval: Milliseconds
    first_token: Milliseconds | None
    total: Milliseconds


class FieldError(Struct, frozen=True):
    """A field at fault."""

    pointer: Annotated[
        str,
        Meta(description="A JSON pointer into the body, such as `/query`, or a parameter's name."),
    ]
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """What is wrong, as RFC 9457 has it."""

    type: Annotated[str, Meta(description="Which problem: a URN to compare, or `about:blank`.")]
    title: str
    status: Status
    detail: Annotated[str, Meta(description="What is wrong this time, and what to do.")]
    errors: Annotated[
        tuple[FieldError, ...], Meta(description="The fields at fault, where there are any.")
    ] = ()


class Sources(Struct, frozen=True):
    """The first event of every stream."""

    citations: tuple[Citation, ...]


class Token(Struct, frozen=True, gc=False):
    """The next piece of the answer."""

    text: str


class Done(Struct, frozen=True):
    """The last event of a turn that ended well."""

    cascade_tier: Tier
    conversation_id: ConversationId
    turn_id: TurnId
    finish_reason: FinishReason
    citations: Annotated[tuple[Mark, ...], Meta(description="The marks in the answer.")]
    scope: Scope
    usage: Usage | None
    timings_ms: Timings
    memory: Annotated[
        Literal["kept", "unavailable"],
        Meta(description="Whether a follow-up will know of this turn."),
    ]


class Failed(Struct, frozen=True):
    """The last event of a turn that broke: a problem document, and whether to try again."""

    type: str
    title: str
    status: Status
    detail: str
    retryable: Annotated[bool, Meta(description="Whether to ask again is of use.")]


Event: TypeAlias = Sources | Token | Done | Failed


class PastTurn(Struct, frozen=True):
    """A question and its answer; `query` is what was searched, `citations` what was cited."""

    turn_id: TurnId
    question: str
    query: str
    answer: str
    citations: tuple[Citation, ...]
    tier: Tier
    at: Annotated[str, Meta(description="When.", extra_json_schema={"format": "date-time"})]
    finish_reason: FinishReason = "stop"


class Conversation(Struct, frozen=True):
    """A conversation's latest turns."""

    conversation_id: ConversationId
    turns: tuple[PastTurn, ...]


class Readiness(Struct, frozen=True):
    """Whether the worker can serve, and the state of each of its parts."""

    ready: bool
    parts: Mapping[str, str]
