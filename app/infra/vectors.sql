-- Everything that needs pgvector. Runs when the extension is first available, or available again.

-- A lexeme's position in the sparse vectors: a hash, so no numbering has to be stored. Two words of
-- a passage and a question collide about once in a million pairs.
CREATE OR REPLACE FUNCTION place(lexeme text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 + ('x' || left(md5(lexeme), 7))::bit(28)::integer;

-- A passage's BM25 weights (k1 0.6, b 0.4); their inner product with the words' idf is the score.
CREATE OR REPLACE FUNCTION bm25_weights(search tsvector, length integer, mean_length real)
    RETURNS sparsevec
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT ('{' || coalesce(string_agg(place || ':' || weight::real, ','), '') || '}/268435456')::sparsevec
        FROM (
            SELECT place(lexeme) AS place,
                   max(tf * 1.6 / (tf + 0.6 * (0.6 + 0.4 * length / mean_length))) AS weight
            FROM unnest(search) CROSS JOIN LATERAL (SELECT cardinality(positions) AS tf) counted
            GROUP BY 1
            -- The most that a sparse vector holds; no passage has that many words.
            ORDER BY weight DESC
            LIMIT 16000
        ) weighed
    );

ALTER TABLE passages ADD COLUMN weights sparsevec(268435456);
UPDATE passages p SET weights = bm25_weights(search, length, l.mean_length)
FROM languages l WHERE l.language = p.language AND l.mean_length > 0;

-- Dropping the extension dropped the embeddings, too.
DO $$
DECLARE gone integer;
BEGIN
    FOR gone IN DELETE FROM embedders RETURNING id LOOP
        EXECUTE format('DROP TABLE IF EXISTS embeddings_%s', gone);
    END LOOP;
END $$;
