-- The library's tables. Each part that begins with `-- migration N` runs once, in order, in a
-- transaction of its own, under an advisory lock; `schema_migrations` keeps what has run.
-- What has been released is never edited: a change is a new part at the end.

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
    name_key text NOT NULL                  -- the name folded: no case, no accents (services/text.py)
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
    key          text NOT NULL,             -- names the document within its library
    kind         text NOT NULL CHECK (kind IN ('video', 'page')),
    title        text NOT NULL,
    url          text,
    language     text NOT NULL,             -- BCP 47
    speakers     text[] NOT NULL DEFAULT '{}',
    published    date,
    words        integer NOT NULL,
    content_hash bytea NOT NULL,            -- of all that the rows were made from
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

-- In how many passages of a language a lexeme stands: what makes a word worth something.
CREATE TABLE terms (
    language text NOT NULL,
    lexeme   text NOT NULL,
    passages integer NOT NULL,
    PRIMARY KEY (language, lexeme)
);

-- How many passages there are in each language. `stale` is set with every change of its passages
-- and cleared when its terms have been counted anew, so a run that was cut off is made good later.
CREATE TABLE languages (
    language text PRIMARY KEY,
    passages integer NOT NULL,
    stale    boolean NOT NULL
);

-- Words as they are indexed and searched. `/ _ @ =` would glue words together.
CREATE FUNCTION tokenize(language text, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector(language::regconfig, translate(body, '/_@=', '    '));

-- migration 2: lengths for BM25, texts apart from what is searched, embedders, the gate

-- What is shown of a passage. Only the few that are found are read, so the rows that a search walks
-- over stay narrow.
CREATE TABLE passage_texts (
    passage_id     bigint PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
    heading        text NOT NULL DEFAULT '',
    first_sentence integer NOT NULL,        -- index of sentences[0] within the document
    sentences      jsonb NOT NULL,          -- [[text, start, end, speaker], …], see schemas.Sentence
    start_seconds  double precision,
    end_seconds    double precision
);
INSERT INTO passage_texts
SELECT id, heading, first_sentence, sentences, start_seconds, end_seconds FROM passages;
ALTER TABLE passages
    DROP COLUMN heading, DROP COLUMN first_sentence, DROP COLUMN sentences,
    DROP COLUMN start_seconds, DROP COLUMN end_seconds,
    ADD COLUMN length integer NOT NULL DEFAULT 0;    -- words, as they are searched

CREATE FUNCTION words_in(search tsvector) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(sum(cardinality(positions)), 0)::integer FROM unnest(search));
UPDATE passages SET length = words_in(search);

-- How often a word stands in a passage. Over one word with all weights 1, ts_rank gives the sum of
-- 1/k² for k = 1 … n, over pi²/6, and what is missing to the whole is about 1/(n + ½).
CREATE FUNCTION frequency(search tsvector, word tsquery) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(CASE WHEN search @@ word
        THEN 1 / (1.6449341 * greatest(1e-4, 1 - ts_rank('{1, 1, 1, 1}', search, word))) - 0.5
        ELSE 0 END);

-- Passages are counted anew when a tenth of them has changed since; until then only new ones are
-- added (those above `counted_to`). `mean_length` is what the weights of BM25 were made with.
ALTER TABLE languages
    ADD COLUMN changed     integer NOT NULL DEFAULT 0,
    ADD COLUMN counted_to  bigint NOT NULL DEFAULT 0,
    ADD COLUMN mean_length real NOT NULL DEFAULT 0;
UPDATE languages l SET (counted_to, mean_length) = (
    SELECT coalesce(max(id), 0), coalesce(avg(length), 0) FROM passages WHERE language = l.language
);
-- Those that a run which was cut off left uncounted are counted in full by the next.
UPDATE languages l SET changed = (SELECT 1 + count(*) FROM passages WHERE language = l.language)
WHERE stale;

-- Whose embeddings there are. Those of each embedder are a table of their own, `embeddings_ID`, so
-- that one can be made while another serves; it serves once it is complete.
CREATE TABLE embedders (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    dimension integer NOT NULL,
    complete  boolean NOT NULL DEFAULT false
);

-- What decides whether a question is answered, learned from the library; the newest counts.
CREATE TABLE gates (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    embedder_id   integer REFERENCES embedders ON DELETE CASCADE,  -- null: search by words alone
    passages      bigint NOT NULL,          -- how many there were
    model         jsonb NOT NULL,           -- see services/gate.py
    calibrated_at timestamptz NOT NULL DEFAULT now()
);
