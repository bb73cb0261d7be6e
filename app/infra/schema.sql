-- The library's tables. Each part that begins with `-- migration N` runs once, in order, in its own
-- transaction, under an advisory lock; `schema_migrations` records which have run.
-- Never edit a released part: add a new one at the end.

-- migration 1: creators, documents, passages, and the words in them

CREATE TABLE libraries (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    path text NOT NULL                      -- the folder it was last read from
);

CREATE TABLE creators (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug     text NOT NULL UNIQUE,
    name     text NOT NULL,
    name_key text NOT NULL                  -- the name folded: no case, no accents (services/search/text.py)
);
CREATE INDEX creators_name_key ON creators (name_key text_pattern_ops);

CREATE TABLE topics (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL
);

-- A video or a page.
CREATE TABLE documents (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    library_id   bigint NOT NULL REFERENCES libraries,
    creator_id   bigint NOT NULL REFERENCES creators,
    topic_id     bigint REFERENCES topics,
    key          text NOT NULL,             -- identifies the document within its library
    kind         text NOT NULL CHECK (kind IN ('video', 'page')),
    title        text NOT NULL,
    url          text,
    language     text NOT NULL,             -- BCP 47
    speakers     text[] NOT NULL DEFAULT '{}',
    published    date,
    words        integer NOT NULL,
    content_hash bytea NOT NULL,            -- hash of everything the rows were made from
    ingested_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (library_id, key)
);
CREATE INDEX documents_creator ON documents (creator_id, topic_id);
CREATE INDEX documents_topic ON documents (topic_id);

-- A moment of a video or a section of a page. Creator, topic and language are repeated here so
-- that one index scan can filter by them.
CREATE TABLE passages (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id    bigint NOT NULL REFERENCES documents ON DELETE CASCADE,
    creator_id     bigint NOT NULL REFERENCES creators,
    topic_id       bigint REFERENCES topics,
    ordinal        integer NOT NULL,        -- 0, 1, 2 … within the document
    heading        text NOT NULL DEFAULT '',
    first_sentence integer NOT NULL,        -- index of sentences[0] within the document
    sentences      jsonb NOT NULL,          -- [[text, start, end, speaker], …], see schemas.Sentence
    start_seconds  double precision,
    end_seconds    double precision,
    language       text NOT NULL,           -- a text search configuration: 'english', 'simple' …
    search         tsvector NOT NULL,       -- title and heading weigh B, the words D
    UNIQUE (document_id, ordinal)
);
CREATE INDEX passages_search ON passages USING gin (search);
CREATE INDEX passages_creator ON passages (creator_id);
CREATE INDEX passages_topic ON passages (topic_id);

-- Document frequencies: how many passages of a language contain a lexeme.
CREATE TABLE terms (
    language text NOT NULL,
    lexeme   text NOT NULL,
    passages integer NOT NULL,
    PRIMARY KEY (language, lexeme)
);

-- The number of passages in each language. `stale` is set with every change of its passages and
-- cleared when its terms have been counted again, so that an interrupted run is completed later.
CREATE TABLE languages (
    language text PRIMARY KEY,
    passages integer NOT NULL,
    stale    boolean NOT NULL
);

-- Words as they are indexed and searched. `/ _ @ =` would otherwise join words.
CREATE FUNCTION tokenize(language text, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector(language::regconfig, translate(body, '/_@=', '    '));

-- migration 2: lengths for BM25, texts in their own table, embedders, gates

-- What is shown of a passage. Read only for the passages found, so that the rows that a search
-- scans stay narrow.
CREATE TABLE passage_texts (
    passage_id     bigint PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
    heading        text NOT NULL DEFAULT '',
    first_sentence integer NOT NULL,        -- index of sentences[0] within the document
    sentences      jsonb NOT NULL,          -- [[text, start, end, speaker], …], see schemas.Sentence
    start_seconds  double precision,
    end_seconds    double precision
);
ALTER TABLE passages
    DROP COLUMN heading, DROP COLUMN first_sentence, DROP COLUMN sentences,
    DROP COLUMN start_seconds, DROP COLUMN end_seconds,
    ADD COLUMN length integer NOT NULL DEFAULT 0;    -- in words, as they are searched

CREATE FUNCTION words_in(search tsvector) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(sum(cardinality(positions)), 0)::integer FROM unnest(search));

-- How often a word occurs in a passage. For one word and with all weights 1, ts_rank returns the sum
-- of 1/k² for k = 1 … n, divided by pi²/6; its difference from 1 is about 1/(n + ½).
CREATE FUNCTION frequency(search tsvector, word tsquery) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(CASE WHEN search @@ word
        THEN 1 / (1.6449341 * greatest(1e-4, 1 - ts_rank('{1, 1, 1, 1}', search, word))) - 0.5
        ELSE 0 END);

-- Passages are counted again once a tenth of them has changed; until then only new ones are added
-- (those above `counted_to`). `mean_length` is the mean that the BM25 weights were computed with.
ALTER TABLE languages
    ADD COLUMN changed     integer NOT NULL DEFAULT 0,
    ADD COLUMN counted_to  bigint NOT NULL DEFAULT 0,
    ADD COLUMN mean_length real NOT NULL DEFAULT 0;

-- Embedders. The embeddings of each are in a separate table, `embeddings_ID`, so that one can be
-- filled while another serves; an embedder serves once it is complete.
CREATE TABLE embedders (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    dimension integer NOT NULL,
    complete  boolean NOT NULL DEFAULT false
);

-- Answerability classifiers, trained on the library; the newest is used.
CREATE TABLE gates (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    embedder_id   integer REFERENCES embedders ON DELETE CASCADE,  -- null: lexical search
    passages      bigint NOT NULL,          -- their number at the time
    model         jsonb NOT NULL,           -- see services/search/answerability.py
    calibrated_at timestamptz NOT NULL DEFAULT now()
);

-- migration 3: creators' and speakers' names in the search vectors, BM25 with k1 0.6

-- As in services/ingest/store/documents.py: names weigh C, titles and headings B, the words D.
CREATE FUNCTION document_names(document bigint) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT string_agg(DISTINCT one, E'\n')
        FROM documents d JOIN creators c ON c.id = d.creator_id,
             unnest(array_append(d.speakers, c.name)) AS one
        WHERE d.id = document);

-- Names in scripts without spaces, or such as `LarryPage`, are segmented by the service: their
-- documents are written again when the library is ingested the next time.
UPDATE documents SET content_hash = ''
WHERE document_names(id)
      ~ '[\u0e00-\u0eff\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]|[a-z]{2}[A-Z][a-z]{2}';

DO $$
DECLARE weights text := '';
BEGIN
    -- Without pgvector, vectors.sql creates the function and the weights later.
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'passages'::regclass AND attname = 'weights' AND NOT attisdropped) THEN
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
                    ORDER BY weight DESC
                    LIMIT 16000
                ) weighed
            );
        weights := ', weights = bm25_weights(named.search, words_in(named.search), mean_length)';
    END IF;
    EXECUTE format($update$
        UPDATE passages p SET search = named.search, length = words_in(named.search) %s
        FROM (
            SELECT p.id, nullif(l.mean_length, 0) AS mean_length,
                   ts_filter(p.search, '{a,b,d}') || setweight(tokenize(p.language, d.names), 'C')
                       AS search
            FROM (SELECT id, regexp_replace(
                             document_names(id), '[-\u2010-\u2015\u2212.]', ' ', 'g'
                         ) AS names
                  FROM documents) d
            JOIN passages p ON p.document_id = d.id
            LEFT JOIN languages l ON l.language = p.language
        ) named
        WHERE p.id = named.id
    $update$, weights);
END $$;
DROP FUNCTION document_names(bigint);

-- The document frequencies of the names, too.
DELETE FROM terms;
INSERT INTO terms (language, lexeme, passages)
SELECT l.language, word, ndoc
FROM languages l CROSS JOIN LATERAL
     ts_stat(format('SELECT search FROM passages WHERE language = %L', l.language));
UPDATE languages l SET changed = 0, counted_to = counted.last, passages = counted.passages
FROM (SELECT language, max(id) AS last, count(*) AS passages FROM passages GROUP BY 1) counted
WHERE counted.language = l.language;
SELECT gin_clean_pending_list('passages_search');

-- migration 4: the service's own secrets, and the keys of callers

-- What cookies, links to streams and ids of conversations are signed with. The secret of an upgraded
-- database is made here, so that all workers have the same.
CREATE TABLE secrets (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);
INSERT INTO secrets VALUES
    ('signing', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- Keys of callers. A key is shown once, when it is made: its secret part is 256 random bits.
CREATE TABLE keys (
    id             text PRIMARY KEY,        -- the key's public part
    name           text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('secret', 'publishable')),
    digest         bytea NOT NULL,          -- SHA-256 of its secret part
    origins        text[] NOT NULL,         -- of the browsers that may use it
    creators       text[],                  -- slugs of those it may read; null: all
    per_minute     integer,                 -- questions; null: as the settings say
    per_day        integer,
    at_once        integer,
    tokens_per_day integer,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,
    revoked_at     timestamptz,
    first_used_at  timestamptz,
    last_used_at   timestamptz
);
CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_at IS NULL;

CREATE TABLE key_usage (
    key_id    text NOT NULL REFERENCES keys ON DELETE CASCADE,
    day       date NOT NULL,                -- UTC
    questions bigint NOT NULL,
    PRIMARY KEY (key_id, day)
);
