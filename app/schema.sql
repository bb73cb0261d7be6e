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
