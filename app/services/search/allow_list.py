"""Parts of the search statement for callers who may read only some creators.

Candidates are filtered before they are cut to the best, so that each tier is filled with allowed
passages. If the allowed creators have few passages together, all of these are compared. Terms that
only other creators use count as unknown.
"""

# Used in the other parts. + 0 keeps the planner from reading all passages of many allowed creators.
IS_ALLOWED = "creator_id = ANY(ARRAY(SELECT id FROM allowed_creators))"
IS_ALLOWED_UNINDEXED = "creator_id + 0 = ANY(ARRAY(SELECT id FROM allowed_creators))"

AND_ALLOWED = " AND {is_allowed}"
CREATOR = "(slug = $2 OR name_key = $3) AND id IN (SELECT id FROM allowed_creators)"

# `allowed` is the parameter with the slugs.
ALLOWED_CTE = """allowed_creators AS MATERIALIZED (
    SELECT id FROM creators WHERE slug = ANY({allowed}::text[])
),
-- Whether the allowed creators have few enough passages to compare every one.
few_allowed AS MATERIALIZED (
    SELECT count(*) <= {exhaustive} AS few
    FROM (
        SELECT FROM allowed_creators a CROSS JOIN LATERAL (
            SELECT FROM passages WHERE creator_id = a.id LIMIT {exhaustive} + 1
        ) p LIMIT {exhaustive} + 1
    ) of_allowed
),
"""

VISIBLE_TERMS_CTE = """visible_terms AS MATERIALIZED (
    SELECT language, total_passages, lexeme, rarity,
           CASE WHEN document_frequency > 0 AND (
               (SELECT few FROM few_allowed) AND EXISTS (
                   SELECT FROM passages p WHERE p.search @@ t.term_query
                   AND p.language = t.language AND {is_allowed}
               )
               OR NOT (SELECT few FROM few_allowed) AND EXISTS (
                   SELECT FROM passages p WHERE p.search @@ t.term_query
                   AND p.language = t.language AND {is_allowed_unindexed}
               )
           ) THEN document_frequency ELSE 0 END AS document_frequency
    FROM (
        SELECT *, {term_query} AS term_query FROM counted_terms WHERE rarity <= {max_terms}
    ) t
),
"""

MATCH_ALLOWED = """
          AND NOT (SELECT few FROM few_allowed) AND {is_allowed_unindexed}"""
FEW_MATCHES = """
    UNION ALL
    SELECT p.id, p.creator_id, p.topic_id, {lexical}
    FROM allowed_creators a
    CROSS JOIN LATERAL (SELECT * FROM passages
        WHERE (SELECT few FROM few_allowed) AND creator_id = a.id OFFSET 0) p
    JOIN language_queries q ON q.language = p.language AND p.search @@ q.any_term"""

# The passages of many allowed creators are filtered from the nearest neighbours in the whole
# library: with a filter, the planner would not use the HNSW index.
NEIGHBOURS = """
    SELECT * FROM (
        SELECT passage_id, creator_id, topic_id FROM {table}
        ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT {approximate}
    ) nearest
    WHERE NOT (SELECT few FROM few_allowed) AND {is_allowed}"""
NEAREST = """
    (SELECT passage_id FROM library_neighbours LIMIT 100)
    UNION
    (SELECT passage_id
     FROM allowed_creators a
     CROSS JOIN LATERAL (SELECT * FROM {table}
         WHERE (SELECT few FROM few_allowed) AND creator_id = a.id OFFSET 0) of_allowed
     ORDER BY embedding <#> (SELECT embedding FROM question_embedding) LIMIT 100)"""
