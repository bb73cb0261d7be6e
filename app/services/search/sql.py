"""What a database offers comes in; the one statement that searches all tiers of it goes out.

A passage's score is `alpha · lexical + (1 - alpha) · cosine`: BM25 over the sum of the words' idf,
and the cosine of the embeddings. Both are near 0 … 1, so they need no further fitting.
"""

from msgspec import Struct

# Of the passages that have words of a question, at most so many are read: all of them in a library
# that is no larger.
MAX_MATCHED = 20_000
# What a creator has, or all creators on a few topics, is compared one by one up to so much; beyond
# it takes part in what is found in the whole, of which so many nearest are looked through.
NARROW, LOOKED_THROUGH = 10_000, 2_000
# The parameters of BM25, as they are usual for passages; `bm25_weights` has the same.
K1, B = 0.9, 0.4

# $1 question · $2 creator's slug · $3 creator's name, folded · $4 passages of one document
# $5 passages a tier · and with embeddings: $6 the question's embedding · $7 alpha
_SEARCH = """
WITH {given}asked AS MATERIALIZED (
    SELECT id, slug, name FROM creators
    WHERE slug = $2 OR name_key = $3
    ORDER BY slug = $2 DESC, id
    LIMIT 1
),
related AS MATERIALIZED (
    SELECT DISTINCT topic_id FROM documents
    WHERE creator_id = (SELECT id FROM asked) AND topic_id IS NOT NULL
),
-- Whether that is little enough to be compared one by one. Nothing where no creator is asked.
narrow AS MATERIALIZED (
    SELECT (SELECT count(*) <= {narrow} FROM (
                SELECT FROM passages WHERE creator_id = asked.id LIMIT {narrow} + 1
           ) own) AS creator,
           (SELECT count(*) <= {narrow} FROM (
                SELECT FROM related r CROSS JOIN LATERAL (
                    SELECT FROM passages WHERE topic_id = r.topic_id LIMIT {narrow} + 1
                ) p LIMIT {narrow} + 1
           ) kin) AS topics
    FROM asked
),
-- The question's words in each language of the library, and what each is worth (BM25's idf, among
-- all languages: a language of few passages has no common words). One that hardly anybody uses is
-- worth no more than one in three passages: it may be a slip.
words AS MATERIALIZED (
    SELECT l.language, t.spread, l.passages AS total, q.lexeme,
           greatest(0.1, ln((n.total + 1) / (greatest(t.spread, 3) + 0.5)))::float8 AS worth,
           -- As a query of one word, in quotes; quotes and backslashes in it are doubled.
           concat('''', regexp_replace(q.lexeme, '([''\\\\])', '\\1\\1', 'g'), '''')::tsquery AS one
    FROM languages l
    CROSS JOIN (SELECT sum(passages)::float8 AS total FROM languages) n
    CROSS JOIN LATERAL unnest(tokenize(l.language, $1)) AS q
    CROSS JOIN LATERAL (
        SELECT coalesce(max(passages), 0) AS spread
        FROM terms WHERE language = l.language AND lexeme = q.lexeme
    ) t
),
-- Candidates have at least one of the rarer words, as many of these as have no more passages than
-- can be read; the two rarest together where each has more. What the common ones alone would find
-- scores too low to matter, and is found by its meaning if at all.
asks AS MATERIALIZED (
    SELECT l.language, coalesce(sum(worth), 1) AS worth, max(l.mean_length) AS mean_length,
           coalesce(sum(worth) FILTER (WHERE spread > 0) / sum(worth), 0) AS known,
           (string_agg(one::text, ' | ') FILTER (WHERE spread > 0))::tsquery AS every,
           coalesce(
               string_agg(one::text, ' | ') FILTER (
                   WHERE spread > 0 AND read <= {most}
                     AND (rarity <= 2 OR spread <= greatest(1000, total * 0.1))
               ),
               string_agg(one::text, ' & ') FILTER (WHERE spread > 0 AND rarity <= 2)
           )::tsquery AS gather{asked_weights}
    FROM languages l
    LEFT JOIN (
        SELECT *, row_number() OVER (PARTITION BY language ORDER BY spread = 0, spread) AS rarity,
               sum(spread) OVER (ORDER BY spread = 0, spread, language, lexeme) AS read
        FROM words
    ) ordered USING (language)
    GROUP BY l.language
),
matched AS MATERIALIZED (
    SELECT p.id, p.creator_id, p.topic_id, {lexical} AS lexical
    FROM asks a
    -- The limit also keeps the planner from turning this about: words are few, passages many.
    CROSS JOIN LATERAL (
        SELECT * FROM passages WHERE search @@ a.gather AND language = a.language LIMIT {most}
    ) p
),
pool AS (
    (SELECT id FROM matched ORDER BY lexical DESC LIMIT 150)
    UNION
    (SELECT id FROM matched WHERE creator_id = (SELECT id FROM asked)
     ORDER BY lexical DESC LIMIT 100)
    UNION
    (SELECT id FROM matched WHERE topic_id IN (SELECT topic_id FROM related)
     ORDER BY lexical DESC LIMIT 100)
    UNION
    (SELECT p.id
     FROM (SELECT * FROM passages
           WHERE (SELECT creator FROM narrow) AND creator_id = (SELECT id FROM asked) OFFSET 0) p
     JOIN asks a ON a.language = p.language AND p.search @@ a.every
     ORDER BY {lexical} DESC LIMIT 100)
    UNION
    (SELECT p.id
     FROM related r
     CROSS JOIN LATERAL (SELECT * FROM passages
         WHERE (SELECT topics FROM narrow) AND topic_id = r.topic_id OFFSET 0) p
     JOIN asks a ON a.language = p.language AND p.search @@ a.every
     ORDER BY {lexical} DESC LIMIT 100){nearest}
),
scored AS MATERIALIZED (
    SELECT *, {score} AS score
    FROM (
        SELECT p.id, p.document_id, p.creator_id, p.topic_id, a.worth, a.known,
               {lexical} AS lexical, {cosine} AS cosine
        FROM pool
        -- By their keys, one by one: they are few.
        CROSS JOIN LATERAL (SELECT * FROM passages WHERE id = pool.id OFFSET 0) p
        JOIN asks a USING (language){embeddings}
    ) both_ways
),
tiered AS (
    SELECT 1 AS tier, * FROM scored WHERE creator_id = (SELECT id FROM asked)
    UNION ALL
    SELECT 2, * FROM scored WHERE topic_id IN (SELECT topic_id FROM related)
    UNION ALL
    SELECT 3, * FROM scored
),
spread_out AS (
    SELECT *, row_number() OVER (PARTITION BY tier, document_id ORDER BY score DESC, id) AS turn
    FROM tiered
),
best AS (
    SELECT *, row_number() OVER (PARTITION BY tier ORDER BY score DESC, id) AS rank
    FROM spread_out WHERE turn <= $4
)
-- Indexes and gates, for which the statement was made: where they are others, it is made anew.
SELECT (SELECT string_agg(id::text, ',' ORDER BY id) FROM embedders WHERE complete) AS indexes,
       (SELECT max(id) FROM gates) AS gate_id,
       asked.slug AS asked_slug, asked.name AS asked_name, hit.*
FROM (SELECT) nothing
LEFT JOIN asked ON true
LEFT JOIN (
    SELECT b.*, shown.*
    FROM best b
    CROSS JOIN LATERAL (
        SELECT p.ordinal, p.language, x.first_sentence, x.sentences::text,
               d.kind, d.title, d.url, t.name AS topic, c.slug, c.name,
               coalesce((SELECT sum(w.worth) FROM words w
                         WHERE w.language = p.language AND p.search @@ w.one), 0)
                   / b.worth AS coverage
        FROM passages p
        JOIN passage_texts x ON x.passage_id = b.id
        JOIN documents d ON d.id = b.document_id
        JOIN creators c ON c.id = b.creator_id
        LEFT JOIN topics t ON t.id = b.topic_id
        WHERE p.id = b.id
        OFFSET 0
    ) shown
    WHERE b.rank <= $5
) hit ON true
ORDER BY hit.tier, hit.score DESC, hit.document_id, hit.ordinal
"""

_ASKED_WEIGHTS = """,
           ('{' || coalesce((
                -- Two words may share a place.
                SELECT string_agg(place || ':' || worth, ',')
                FROM (SELECT place(lexeme) AS place, max(worth)::real AS worth
                      FROM words w WHERE w.language = l.language GROUP BY 1) placed
            ), '') || '}/268435456')::sparsevec AS weights"""
_SPARSE = "coalesce(-(p.weights <#> a.weights), 0) / a.worth"
_COUNTED = """(
        SELECT coalesce(sum(w.worth * f.tf * ({k1} + 1)
               / (f.tf + {k1} * (1 - {b} + {b} * p.length / a.mean_length))), 0) / a.worth
        FROM words w CROSS JOIN LATERAL (SELECT frequency(p.search, w.one) AS tf) f
        WHERE w.language = a.language AND f.tf > 0)"""
_COSINE = "coalesce(-(e.embedding <#> (SELECT embedding FROM given)), 0)"
_EMBEDDINGS = """
        LEFT JOIN LATERAL (
            SELECT embedding FROM {table} WHERE passage_id = pool.id OFFSET 0
        ) e ON true"""
# The embedding is read once: as a parameter it would be read from its text for every row. Rows of
# `near` come one by one, as many as are asked for: none where the creator and topics are narrow.
_GIVEN = """given AS MATERIALIZED (SELECT $6::text::halfvec({dimension}) AS embedding),
near AS MATERIALIZED (
    SELECT passage_id, creator_id, topic_id FROM {table}
    ORDER BY embedding <#> (SELECT embedding FROM given) LIMIT {looked_through}
),
"""
_NEAREST = """
    UNION
    (SELECT passage_id FROM {table}
     ORDER BY embedding <#> (SELECT embedding FROM given) LIMIT 100)
    UNION
    (SELECT passage_id
     FROM (SELECT * FROM {table}
           WHERE (SELECT creator FROM narrow) AND creator_id = (SELECT id FROM asked) OFFSET 0) own
     ORDER BY embedding <#> (SELECT embedding FROM given) LIMIT 50)
    UNION
    (SELECT passage_id
     FROM related r
     CROSS JOIN LATERAL (SELECT * FROM {table}
         WHERE (SELECT topics FROM narrow) AND topic_id = r.topic_id OFFSET 0) kin
     ORDER BY embedding <#> (SELECT embedding FROM given) LIMIT 50)
    UNION
    (SELECT passage_id FROM near
     WHERE (SELECT NOT creator FROM narrow) AND creator_id = (SELECT id FROM asked) LIMIT 50)
    UNION
    (SELECT passage_id FROM near
     WHERE (SELECT NOT topics FROM narrow) AND topic_id IN (SELECT topic_id FROM related)
     LIMIT 50)"""


class EmbeddingIndex(Struct, frozen=True):
    """The embeddings that a database holds of one embedder."""

    id: int
    name: str
    dimension: int

    @property
    def table(self) -> str:
        """The table of its vectors."""
        return f"embeddings_{self.id}"


def search_statement(*, pgvector: bool, index: EmbeddingIndex | None) -> str:
    """Write the statement: with sparse vectors where there is pgvector, and with embeddings."""
    parts = {
        "given": _GIVEN if index else "",
        "asked_weights": _ASKED_WEIGHTS if pgvector else "",
        "lexical": _SPARSE if pgvector else _COUNTED,
        "nearest": _NEAREST if index else "",
        "score": "$7 * lexical + (1 - $7) * cosine" if index else "lexical",
        "cosine": _COSINE if index else "NULL::double precision",
        "embeddings": _EMBEDDINGS if index else "",
        # What stands within the parts.
        "table": index.table if index else "",
        "dimension": str(index.dimension) if index else "",
        "k1": str(K1),
        "b": str(B),
        "most": str(MAX_MATCHED),
        "narrow": str(NARROW),
        "looked_through": str(LOOKED_THROUGH),
    }
    statement = _SEARCH
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement
