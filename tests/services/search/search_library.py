"""Libraries for search tests: their pages, scripted embedders, and a retriever."""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

import asyncpg

from app.bootstrap.search import open_database
from app.config import Settings
from app.services.ingest.report import Report
from app.services.ingest.run import ingest
from app.services.ingest.store.indexer import Indexer
from app.services.search.answerability import AnswerabilityClassifier, CalibratedRegression
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.retriever import PostgresRetriever
from tests.scripted_embedder import Vector, word_counts
from tests.services.ingest.libraries import ignore_progress, write_files


class ScriptedEmbedder:
    """Gives texts scripted vectors. `calls` records the texts; call number `fails_at` fails."""

    dimension = None

    def __init__(
        self,
        name: str = "scripted",
        vector_of: Callable[[str], Vector] = word_counts,
        fails_at: int = 0,
    ) -> None:
        self.name = name
        self.calls: list[list[str]] = []
        self._vector_of = vector_of
        self._fails_at = fails_at

    async def embed_questions(self, texts: Sequence[str]) -> list[list[float]]:
        return self._embed(texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.calls.append(list(texts))
        if len(self.calls) == self._fails_at:
            raise EmbeddingFailed("The embedding server failed (status 500).")
        return [unit(self._vector_of(text)) for text in texts]


def unit(vector: Vector) -> list[float]:
    """Scale a vector to unit length."""
    length = math.hypot(*vector)
    return [value / length for value in vector]


def page(title: str, text: str, *, topic: str = "", language: str = "en") -> str:
    """Return a Markdown page. Each heading in its text starts a passage."""
    head = f"title: {title}\nlanguage: {language}\n" + (f"topic: {topic}\n" if topic else "")
    return f"---\n{head}---\n\n{text}\n"


LIMITER = "".join(
    f"\n## Rule {n}\n\nA limiter with a ceiling of minus {n} dB keeps the loudest peaks down.\n"
    for n in range(1, 9)
)
# Two creators who share a topic, one with a long page, and three unspaced scripts.
PAGES = {
    "mara/sidechain.md": page(
        "Side-chain the bass",
        "Set the attack of the compressor to 10 ms, so that the kick stays in front of the bass.\n"
        "\n## Afterwards\n\nOnly then add a little reverb to the whole of it, if it sounds dry.\n",
        topic="Compression",
    ),
    "june/drums.md": page(
        "Parallel compression",
        "Squash a copy of the drums hard with a ratio of 10:1 and mix it in below the other.",
        topic="Compression",
    ),
    "june/reverb.md": page(
        "Plate reverb",
        "The decay time of a plate reverb on vocals is best set between one and two seconds.\n"
        "Cut the lows of the reverb at 300 Hz so that the plate leaves room for the vocals.\n",
        topic="Reverb",
    ),
    "tom/limiter.md": page("Limiters", LIMITER, topic="Mastering"),
    "tom/mail.md": page("Mail", "Please let me know what you think, and tell us what you want."),
    "tom/dog.md": page("A visitor", "The physician hurried to see the sick child at night."),
    "wang/zh.md": page("低音", "侧链压缩让低音给底鼓让出空间。起音时间设为十毫秒。", language="zh"),
    "sato/ja.md": page(
        "ボーカル", "ボーカルのリバーブは短めに設定します。残響時間は一秒です。", language="ja"
    ),
    "somchai/th.md": page("เสียงเบส", "ตั้งค่าคอมเพรสเซอร์ให้เสียงเบสหลบกลองเตะ", language="th"),
}
# Answered by `mara`.
ATTACK = "How fast should the attack of the compressor be for the bass?"

EFFECTS = {
    "compressor": "A compressor with a ratio of {a}:1 evens the level out by {b} dB at most.",
    "gate": "Let the gate close {a} ms after the note, or the tail of it is cut by {b} dB.",
    "plate reverb": "A plate reverb of {a} seconds with a predelay of {b} ms stays behind it.",
    "tape delay": "Time the tape delay to a dotted eighth and keep its feedback below {b} percent.",
    "equalizer": "Cut {a} dB at 300 Hz with the equalizer where it booms and boost the air.",
    "chorus": "A slow chorus with a depth of {b} percent makes it wider without a second take.",
    "saturation": "Drive the saturation by {a} dB until harmonics appear, then mix {b} percent in.",
    "limiter": "The limiter at the end takes {a} dB off the peaks and needs a release of {b} ms.",
    "panning": "With panning {b} percent to the left it leaves the centre to the lead.",
    "tremolo": "Set the tremolo to sixteenths at a depth of {b} percent for a nervous pulse.",
    "flanger": "Sweep the flanger over {a} bars before the drop and let it fade with the filter.",
    "transient shaper": "The transient shaper adds {a} dB of attack when the take sounds dull.",
}
INSTRUMENTS = "kick drum,snare drum,bass guitar,piano,string section,synth pad,lead vocals".split(
    ","
)
INSTRUMENTS += "acoustic guitar,brass,choir,hi-hat,church organ,double bass".split(",")
# Headings of a larger library with the text below each: an effect on every instrument.
SECTIONS = [
    (
        f"The {effect} on the {instrument}",
        f"On the {instrument} the {effect} comes first, because all that follows depends on it. "
        + advice.format(a=2 + number % 9, b=10 + number % 47)
        + f" Listen to the {instrument} in the whole mix and not alone before you go on.",
    )
    for number, ((effect, advice), instrument) in enumerate(product(EFFECTS.items(), INSTRUMENTS))
]
# The larger library: a page per instrument, enough passages to calibrate.
CALIBRATED_PAGES = {
    f"ann/{instrument}.md": page(
        f"Notes on {instrument}",
        "\n\n".join(f"## {head}\n\n{text}" for head, text in SECTIONS if head.endswith(instrument)),
    )
    for instrument in INSTRUMENTS
}


async def fill(
    connection: asyncpg.Connection,
    folder: Path,
    pages: Mapping[str, str],
    embedder: Embedder | None = None,
    *,
    pgvector: bool = True,
) -> Report:
    """Write pages to a folder and ingest it, removing documents that are no longer in it."""
    how = Indexer(pgvector=pgvector, embedder=embedder, alpha=0.5)
    return await ingest(
        connection,
        write_files(folder, pages),
        indexer=how,
        on_progress=ignore_progress,
        prune=True,
    )


async def many_passages(
    connection: asyncpg.Connection,
    number: int,
    text: str = "knob{n} turns dial{n}",
    language: tuple[str, str] = ("en", "english"),
) -> None:
    """Insert a document with this number of passages, bypassing ingestion.

    `{n}` in the text is the passage's number, from 1. `language` is a tag and a text search
    configuration. The index is not refreshed.
    """
    tag, configuration = language
    document = await connection.fetchval(
        """
        WITH l AS (INSERT INTO libraries (name, path) VALUES ('many', '/nowhere') RETURNING id),
        c AS (
            INSERT INTO creators (slug, name, name_key) VALUES ('ann', 'Ann', 'ann') RETURNING id
        )
        INSERT INTO documents (library_id, creator_id, key, kind, title, language, words,
                               content_hash)
        SELECT l.id, c.id, 'many', 'page', 'Many', $1, 3, '' FROM l, c
        RETURNING id
        """,
        tag,
    )
    texts = [text.format(n=n) for n in range(1, number + 1)]
    await connection.execute(
        """
        INSERT INTO passages (document_id, creator_id, ordinal, language, search, length)
        SELECT d.id, d.creator_id, n, $2, s.search, words_in(s.search)
        FROM documents d, unnest($3::text[]) WITH ORDINALITY AS t (body, n),
             tokenize($2, t.body) AS s (search)
        WHERE d.id = $1
        """,
        *(document, configuration, texts),
    )
    await connection.execute(
        """
        INSERT INTO passage_texts (passage_id, first_sentence, sentences)
        SELECT id, 0, jsonb_build_array(jsonb_build_array(($2::text[])[ordinal], null, null, null))
        FROM passages WHERE document_id = $1
        """,
        *(document, texts),
    )
    await connection.execute(
        """
        INSERT INTO languages (language, passages, stale, changed) VALUES ($1, 0, true, $2)
        ON CONFLICT (language) DO UPDATE SET stale = true,
                                             changed = languages.changed + excluded.changed
        """,
        *(configuration, number),
    )


async def save_classifier(
    connection: asyncpg.Connection, model: str, embedder: str | None = None
) -> int:
    """Store a classifier, given as JSON, for lexical search or an embedder; return its id."""
    number: int = await connection.fetchval(
        "INSERT INTO gates (embedder_id, passages, model)"
        " VALUES ((SELECT id FROM embedders WHERE name = $1), 1, $2::jsonb) RETURNING id",
        *(embedder, model),
    )
    return number


def constant(features: int, bias: float) -> AnswerabilityClassifier:
    """Return a classifier whose confidence depends on the bias only."""
    zeros = (0.0,) * features
    regression = CalibratedRegression(zeros, zeros, (1.0,) * features, bias)
    return AnswerabilityClassifier(regression, floor=0.0)


@asynccontextmanager
async def open_retriever(
    url: str,
    embedder: Embedder | None = None,
    *,
    per_document: int = 3,
    embedding_timeout: float = 5.0,
) -> AsyncIterator[PostgresRetriever]:
    """Search a database as the service does. The timeout is in seconds."""
    async with open_database(Settings(database_url=url)) as (pool, state):
        yield PostgresRetriever(
            pool,
            pgvector=state.pgvector is not None,
            embedder=embedder if state.pgvector else None,
            alpha=0.5,
            sources=6,
            per_document=per_document,
            timeout=10.0,
            embedding_timeout=embedding_timeout,
        )
