"""The SQL statement that searches all tiers of the cascade in one round trip.

A passage's score is `a · lexical + (1 - a) · cosine`. `lexical` is BM25 divided by the sum of the
question's idf, `cosine` compares embeddings. Both are roughly between 0 and 1. `a` is `alpha` if
the library has most of the question's words in the passage's language, and less if it has few of
them: words say nothing about a question in another language.
"""

from msgspec import Struct

from app.services.search import allow_list

# The maximum number of passages with words of the question that are scored; a library up to this
# size is always scored in full.
MAX_MATCHED = 20_000
# The maximum number of the question's lexemes in one language that are searched, and of those that
# the library lacks. Questions of a few sentences have fewer; 1,000 Chinese characters have 2,000.
MAX_TERMS = 64
# A creator or a set of topics with up to EXHAUSTIVE passages is compared passage by passage. A
# larger one is filtered from the APPROXIMATE nearest neighbours in the whole library.
EXHAUSTIVE, APPROXIMATE = 10_000, 2_000
# BM25 parameters, measured on transcripts; the SQL function `bm25_weights` has the same.
K1, B = 0.6, 0.4
# The share of the question's idf that the library must have for lexical scores to count in full.
FULL_COVERAGE = 0.7

# $1 question · $2 creator slug · $3 folded creator name · $4 passages per document
# $5 passages per tier · only with embeddings: $6 embedding of the question · $7 alpha
# only for restricted callers: $6 or $8 slugs of the creators that they may read
_SEARCH = """
WITH {allowed_cte}{neighbours_cte}requested_creator AS MATERIALIZED (
    SELECT id, slug, name FROM creators
    WHERE {creator}
    ORDER BY slug = $2 DESC, id
    LIMIT 1
),
creator_topics AS MATERIALIZED (
    SELECT DISTINCT topic_id FROM documents
    WHERE creator_id = (SELECT id FROM requested_creator) AND topic_id IS NOT NULL
),
-- Whether the creator and topics are small enough to compare every passage. No row without a
-- creator.
exhaustive AS MATERIALIZED (
    SELECT (SELECT count(*) <= {exhaustive} FROM (
                SELECT FROM passages WHERE creator_id = requested_creator.id
                LIMIT {exhaustive} + 1
           ) of_creator) AS creator,
           (SELECT count(*) <= {exhaustive} FROM (
                SELECT FROM creator_topics t CROSS JOIN LATERAL (
                    SELECT FROM passages WHERE topic_id = t.topic_id LIMIT {exhaustive} + 1
                ) p LIMIT {exhaustive} + 1
           ) of_topics) AS topics
    FROM requested_creator
),
-- The question's lexemes in each language of the library: the rarest of those that it has, and some
-- of those that it lacks.
counted_terms AS MATERIALIZED (
    SELECT l.language, l.passages AS total_passages, q.lexeme, t.document_frequency,
           row_number() OVER (
               PARTITION BY l.language, t.document_frequency = 0
               ORDER BY t.document_frequency, q.lexeme
           ) AS rarity
    FROM languages l
    CROSS JOIN LATERAL unnest(tokenize(l.language, $1)) AS q
    CROSS JOIN LATERAL (
        SELECT coalesce(max(passages), 0) AS document_frequency
        FROM terms WHERE language = l.language AND lexeme = q.lexeme
    ) t
),
{visible_terms_cte}-- With their BM25 idf. It counts the passages of all languages, because a
-- language with few passages has no common words. A document frequency below 3 counts as 3, since
-- such a word may be a typo.
question_terms AS MATERIALIZED (
    SELECT language, document_frequency, total_passages, lexeme,
           greatest(
               0.1, ln((n.total + 1) / (greatest(document_frequency, 3) + 0.5))
           )::float8 AS idf,
           -- A query for one quoted lexeme; quotes and backslashes in it are doubled.
           {term_query} AS term_query
    FROM {terms}
    CROSS JOIN (SELECT sum(passages)::float8 AS total FROM languages) n
    WHERE rarity <= {max_terms}
),
-- Candidates contain at least one of the rarer terms: as many of these as match no more passages
-- than can be read, or the two rarest together if each matches more. Passages with only common
-- terms score too low to matter; the nearest neighbours may still contain them.
language_queries AS MATERIALIZED (
    SELECT l.language, coalesce(sum(idf), 1) AS idf, max(l.mean_length) AS mean_length,
           coalesce(sum(idf) FILTER (WHERE document_frequency > 0) / sum(idf), 0)
               AS library_coverage,
           coalesce(array_agg(lexeme) FILTER (WHERE document_frequency = 0), '{}') AS unknown,
           (string_agg(term_query::text, ' | ') FILTER (WHERE document_frequency > 0))::tsquery
               AS any_term,
           coalesce(
               string_agg(term_query::text, ' | ') FILTER (
                   WHERE document_frequency > 0 AND cumulative_frequency <= {max_matched}
                     AND (rarity <= 2
                          OR document_frequency <= greatest(1000, total_passages * 0.1))
               ),
               string_agg(term_query::text, ' & ') FILTER (
                   WHERE document_frequency > 0 AND rarity <= 2
               )
           )::tsquery AS rare_terms{query_weights}
    FROM languages l
    LEFT JOIN (
        SELECT *, row_number() OVER (
                   PARTITION BY language ORDER BY document_frequency = 0, document_frequency
               ) AS rarity,
               sum(document_frequency) OVER (
                   ORDER BY document_frequency = 0, document_frequency, language, lexeme
               ) AS cumulative_frequency
        FROM question_terms
    ) ordered USING (language)
    GROUP BY l.language
),
lexical_matches AS MATERIALIZED (
    SELECT p.id, p.creator_id, p.topic_id, {lexical} AS lexical
    FROM language_queries q
    -- The limit also keeps the planner from starting at the passages: terms are few.
    CROSS JOIN LATERAL (
        SELECT * FROM passages
        WHERE search @@ q.rare_terms AND language = q.language{match_allowed} LIMIT {max_matched}
    ) p{few_matches}
),
candidates AS (
    (SELECT id FROM lexical_matches ORDER BY lexical DESC LIMIT 150)
    UNION
    (SELECT id FROM lexical_matches WHERE creator_id = (SELECT id FROM requested_creator)
     ORDER BY lexical DESC LIMIT 100)
    UNION
    (SELECT id FROM lexical_matches WHERE topic_id IN (SELECT topic_id FROM creator_topics)
     ORDER BY lexical DESC LIMIT 100)
    UNION
    (SELECT p.id
     FROM (SELECT * FROM passages
           WHERE (SELECT creator FROM exhaustive)
             AND creator_id = (SELECT id FROM requested_creator) OFFSET 0) p
     JOIN language_queries q ON q.language = p.language AND p.search @@ q.any_term
     ORDER BY {lexical} DESC LIMIT 100)
    UNION
    (SELECT p.id
     FROM creator_topics t
     CROSS JOIN LATERAL (SELECT * FROM passages
         WHERE (SELECT topics FROM exhaustive) AND topic_id = t.topic_id{and_allowed} OFFSET 0) p
     JOIN language_queries q ON q.language = p.language AND p.search @@ q.any_term
     ORDER BY {lexical} DESC LIMIT 100){neighbours}
),
scored AS MATERIALIZED (
    SELECT *, {score} AS score
    FROM (
        SELECT p.id, p.document_id, p.creator_id, p.topic_id, q.idf, q.library_coverage,
               {lexical} AS lexical, {cosine} AS cosine
        FROM candidates
        -- OFFSET 0 makes this an index lookup for each of the few candidates.
        CROSS JOIN LATERAL (SELECT * FROM passages WHERE id = candidates.id{and_allowed} OFFSET 0) p
        JOIN language_queries q USING (language){embeddings}
    ) components
),
tiered AS (
    SELECT 1 AS tier, * FROM scored WHERE creator_id = (SELECT id FROM requested_creator)
    UNION ALL
    SELECT 2, * FROM scored WHERE topic_id IN (SELECT topic_id FROM creator_topics)
    UNION ALL
    SELECT 3, * FROM scored
),
ranked_in_document AS (
    SELECT *, row_number() OVER (
        PARTITION BY tier, document_id ORDER BY score DESC, id
    ) AS document_rank
    FROM tiered
),
ranked_in_tier AS (
    SELECT *, row_number() OVER (PARTITION BY tier ORDER BY score DESC, id) AS tier_rank
    FROM ranked_in_document WHERE document_rank <= $4
)
-- The first two columns identify the state of the database that the search plan was made for.
-- `main_language` is the language of most passages. `unknown` are the question's lexemes that no
-- passage in the passage's language has, `main_unknown` those that none in the main language has.
SELECT (SELECT string_agg(id::text, ',' ORDER BY id) FROM embedders WHERE complete) AS indexes,
       (SELECT max(id) FROM gates) AS classifier_id,
       requested_creator.slug AS requested_slug, requested_creator.name AS requested_name,
       main.language AS main_language, main.library_coverage AS main_coverage,
       main.unknown AS main_unknown, result.*
FROM (SELECT) one_row
LEFT JOIN (
    SELECT q.language, library_coverage, unknown
    FROM language_queries q JOIN languages USING (language)
    ORDER BY passages DESC, language LIMIT 1
) main ON true
LEFT JOIN requested_creator ON true
LEFT JOIN (
    SELECT r.*, details.*
    FROM ranked_in_tier r
    CROSS JOIN LATERAL (
        SELECT p.ordinal, p.language, q.unknown, x.first_sentence, x.sentences::text,
               d.kind, d.title, d.url, t.name AS topic, c.slug, c.name,
               coalesce((SELECT sum(w.idf) FROM question_terms w
                         WHERE w.language = p.language AND p.search @@ w.term_query), 0)
                   / r.idf AS coverage
        FROM passages p
        JOIN language_queries q USING (language)
        JOIN passage_texts x ON x.passage_id = r.id
        JOIN documents d ON d.id = r.document_id
        JOIN creators c ON c.id = r.creator_id
        LEFT JOIN topics t ON t.id = r.topic_id
        WHERE p.id = r.id
        OFFSET 0
    ) details
    WHERE r.tier_rank <= $5
) result ON true
ORDER BY result.tier, result.score DESC, result.document_id, result.ordinal
"""

_QUERY_WEIGHTS = """,
           ('{' || coalesce((
                -- Two lexemes may share a place in the vector.
                SELECT string_agg(place || ':' || idf, ',')
                FROM (SELECT place(lexeme) AS place, max(idf)::real AS idf
                      FROM question_terms w WHERE w.language = l.language GROUP BY 1) placed
            ), '') || '}/268435456')::sparsevec AS weights"""
_BM25_FROM_WEIGHTS = "coalesce(-(p.weights <#> q.weights), 0) / q.idf"
_BM25_FROM_COUNTS = """(
        SELECT coalesce(sum(w.idf * f.tf * ({k1} + 1)
               / (f.tf + {k1} * (1 - {b} + {b} * p.length / q.mean_length))), 0) / q.idf
        FROM question_terms w
        CROSS JOIN LATERAL (SELECT frequency(p.search, w.term_query) AS tf) f
        WHERE w.language = q.language AND f.tf > 0)"""
_TERM_QUERY = """concat('''', regexp_replace(lexeme, '([''\\\\])', '\\1\\1', 'g'), '''')::tsquery"""
# a · lexical + (1 - a) · cosine
_HYBRID_SCORE = "cosine + $7 * least(1, library_coverage / {full_coverage}) * (lexical - cosine)"
_COSINE = "coalesce(-(e.embedding <#> (SELECT embedding FROM question_embedding)), 0)"
_EMBEDDINGS = """
        LEFT JOIN LATERAL (
            SELECT embedding FROM {table} WHERE passage_id = candidates.id OFFSET 0
        ) e ON true"""
# The embedding is a CTE because a parameter would be parsed from text for every row. The rows of
# `library_neighbours` are computed lazily.
_NEIGHBOURS_CTE = """question_embedding AS MATERIALIZED (
    SELECT $6::text::halfvec({dimension}) AS embedding
),
library_neighbours AS MATERIALIZED ({library_neighbours}
),
"""
_LIBRARY_NEIGHBOURS = """
    SELECT passage_id, creator_id, topic_id FROM {table}
    ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT {approximate}"""
_NEAREST = """
    (SELECT passage_id FROM {table}
     ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT 100)"""
_NEIGHBOURS = """
    UNION{nearest}
    UNION
    (SELECT passage_id
     FROM (SELECT * FROM {table}
           WHERE (SELECT creator FROM exhaustive)
             AND creator_id = (SELECT id FROM requested_creator) OFFSET 0) of_creator
     ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT 50)
    UNION
    (SELECT passage_id
     FROM creator_topics t
     CROSS JOIN LATERAL (SELECT * FROM {table}
         WHERE (SELECT topics FROM exhaustive) AND topic_id = t.topic_id{and_allowed} OFFSET 0
     ) of_topic
     ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT 50)
    UNION
    (SELECT passage_id FROM library_neighbours
     WHERE (SELECT NOT creator FROM exhaustive)
       AND creator_id = (SELECT id FROM requested_creator) LIMIT 50)
    UNION
    (SELECT passage_id FROM library_neighbours
     WHERE (SELECT NOT topics FROM exhaustive)
       AND topic_id IN (SELECT topic_id FROM creator_topics) LIMIT 50)"""


class EmbeddingIndex(Struct, frozen=True):
    """The stored embeddings of one embedder."""

    id: int
    name: str
    dimension: int

    @property
    def table(self) -> str:
        """The table of its vectors."""
        return f"embeddings_{self.id}"


def search_statement(
    *, pgvector: bool, index: EmbeddingIndex | None, restricted: bool = False
) -> str:
    """Build the statement; with pgvector BM25 uses sparse vectors, with an index also cosines.

    If it is `restricted`, its last parameter has the slugs of the only creators that it reads.
    """
    parts = {
        "allowed_cte": allow_list.ALLOWED_CTE if restricted else "",
        "creator": allow_list.CREATOR if restricted else "slug = $2 OR name_key = $3",
        "visible_terms_cte": allow_list.VISIBLE_TERMS_CTE if restricted else "",
        "terms": "visible_terms" if restricted else "counted_terms",
        "match_allowed": allow_list.MATCH_ALLOWED if restricted else "",
        "few_matches": allow_list.FEW_MATCHES if restricted else "",
        "neighbours_cte": _NEIGHBOURS_CTE if index else "",
        "library_neighbours": allow_list.NEIGHBOURS if restricted else _LIBRARY_NEIGHBOURS,
        "query_weights": _QUERY_WEIGHTS if pgvector else "",
        "lexical": _BM25_FROM_WEIGHTS if pgvector else _BM25_FROM_COUNTS,
        "neighbours": _NEIGHBOURS if index else "",
        "nearest": allow_list.NEAREST if restricted else _NEAREST,
        "score": _HYBRID_SCORE if index else "lexical",
        "cosine": _COSINE if index else "NULL::double precision",
        "embeddings": _EMBEDDINGS if index else "",
        # Used within the parts above.
        "term_query": _TERM_QUERY,
        "allowed": "$8" if index else "$6",
        "and_allowed": allow_list.AND_ALLOWED if restricted else "",
        "is_allowed_unindexed": allow_list.IS_ALLOWED_UNINDEXED,
        "is_allowed": allow_list.IS_ALLOWED,
        "table": index.table if index else "",
        "dimension": str(index.dimension) if index else "",
        "k1": str(K1),
        "b": str(B),
        "max_matched": str(MAX_MATCHED),
        "max_terms": str(MAX_TERMS),
        "full_coverage": str(FULL_COVERAGE),
        "exhaustive": str(EXHAUSTIVE),
        "approximate": str(APPROXIMATE),
    }
    statement = _SEARCH
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement
