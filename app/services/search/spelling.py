"""Correct misspelt words of a question to words that the library has."""

import re
from collections.abc import Iterable, Iterator

from app.infra.database import Connection
from app.services.search.text import is_unspaced

# The library must have this share of a question's idf in its main language. Below it, the question
# is more likely in another language or about something else than misspelt.
MIN_COVERAGE = 0.5
# Shorter words have too many neighbours. A word takes a few milliseconds, and the time grows with
# the square of its length: one of 900 letters would take seconds.
MIN_LENGTH, MAX_LENGTH, MAX_WORDS = 5, 25, 4
# A word in fewer passages may itself be misspelt.
MIN_PASSAGES = 3

# A word without digits that is not part of a longer one.
_WORD = re.compile(rf"(?<!\w)[^\W\d_]{{{MIN_LENGTH},{MAX_LENGTH}}}(?!\w)")
_ENGLISH = frozenset("abcdefghijklmnopqrstuvwxyz")
_LATIN = _ENGLISH | frozenset("ßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ")
# The size of the blocks of Unicode that contain the letters of one script.
_BLOCK = 0x80

# $1 text search configuration · $2 lower-case words · $3 letters to try · $4 passages that a word
# needs. For each word that no passage has, the most frequent one at one edit: a letter inserted,
# removed or replaced, or two letters exchanged. Stems are counted, but an edit with the stem of a
# frequent word need not be a word, so it must also be written in one of the passages.
NEAREST_WORDS = """
WITH edits AS MATERIALIZED (
    SELECT word, edit
    FROM unnest($2::text[]) AS word
    CROSS JOIN LATERAL (
        SELECT left(word, place) || letter || substr(word, place + following) AS edit
        FROM generate_series(0, length(word)) AS place, unnest($3::text[] || ''::text) AS letter,
             generate_series(1, 2) AS following
        UNION
        SELECT left(word, place) || reverse(substr(word, place + 1, 2)) || substr(word, place + 3)
        FROM generate_series(0, length(word) - 2) AS place
    ) edited
    -- A stop word has no lexeme.
    WHERE tokenize($1, word) <> '' AND NOT EXISTS (
        SELECT FROM languages l
        CROSS JOIN LATERAL unnest(tokenize(l.language, word)) AS q
        JOIN terms t ON t.language = l.language AND t.lexeme = q.lexeme{of_word}
    )
),
nearest AS MATERIALIZED (
    SELECT word, q.lexeme, t.passages, row_number() OVER (
               PARTITION BY word ORDER BY t.passages DESC, q.lexeme
           ) AS rank
    FROM (SELECT DISTINCT word, lexeme FROM edits CROSS JOIN unnest(tokenize($1, edit))) q
    -- OFFSET 0 makes this an index lookup for each lexeme.
    CROSS JOIN LATERAL (
        SELECT passages FROM terms WHERE language = $1 AND lexeme = q.lexeme OFFSET 0
    ) t
    WHERE t.passages >= $4{of_lexeme}
)
SELECT DISTINCT ON (word) word, written.edit AS correction
FROM nearest n
CROSS JOIN LATERAL (
    SELECT e.edit
    FROM (SELECT form, count(*) AS times
          FROM (SELECT id FROM passages
                WHERE language = $1 AND search @@ quote_literal(n.lexeme)::tsquery{and_allowed}
                LIMIT 20) p
          JOIN passage_texts x ON x.passage_id = p.id
          CROSS JOIN regexp_split_to_table(lower(x.sentences::text), '[^[:alpha:]]+') AS form
          GROUP BY form) counted
    JOIN edits e ON e.word = n.word AND e.edit = form
    ORDER BY times DESC, e.edit
    LIMIT 1
) written
WHERE rank <= 3
ORDER BY word, rank
"""

_NEAREST_IN_ALL = NEAREST_WORDS.format(of_word="", of_lexeme="", and_allowed="")
# Only passages of the creators in $5 count.
_AND_ALLOWED = """
                  AND creator_id = ANY(ARRAY(
                      SELECT id FROM creators WHERE slug = ANY($5::text[])))"""
_NEAREST_IN_ALLOWED = NEAREST_WORDS.format(
    of_word=f"""
        WHERE EXISTS (SELECT FROM passages
                WHERE language = t.language AND search @@ quote_literal(t.lexeme)::tsquery
                {_AND_ALLOWED})""",
    of_lexeme=f"""
      AND (SELECT count(*) FROM (
              SELECT FROM passages
              WHERE language = $1 AND search @@ quote_literal(q.lexeme)::tsquery{_AND_ALLOWED}
              LIMIT $4) of_allowed) >= $4""",  # noqa: S608
    and_allowed=_AND_ALLOWED,
)


async def correct_spelling(
    connection: Connection,
    question: str,
    language: str,
    allowed_creators: tuple[str, ...] | None = None,
) -> str:
    """Return the question with words that no passage has replaced by similar ones that some have.

    `allowed_creators` are the slugs of the creators whose passages count, None for all. `language`
    is the text search configuration of the similar words. Words with digits, very
    long words, words in unspaced scripts and words without a similar one are kept.
    """
    found = (match[0].lower() for match in _WORD.finditer(question))
    words = [word for word in dict.fromkeys(found) if not is_unspaced(word)][:MAX_WORDS]
    letters = sorted(set(_letters(words, language)))
    arguments: list[object] = [language, words, letters, MIN_PASSAGES]
    if allowed_creators is None:
        rows = await connection.fetch(_NEAREST_IN_ALL, *arguments)
    else:
        rows = await connection.fetch(_NEAREST_IN_ALLOWED, *arguments, allowed_creators)
    corrections: dict[str, str] = {row["word"]: row["correction"] for row in rows}

    def correct(match: re.Match[str]) -> str:
        word = match[0]
        correction = corrections.get(word.lower(), word)
        return correction.capitalize() if word.istitle() else correction

    return _WORD.sub(correct, question) if corrections else question


def _letters(words: Iterable[str], language: str) -> Iterator[str]:
    """Yield the letters of the scripts that the words are in."""
    for block in {ord(letter) // _BLOCK for word in words for letter in word}:
        if block * _BLOCK < 0x100:
            yield from _ENGLISH if language == "english" else _LATIN
        else:
            letters = map(chr, range(block * _BLOCK, (block + 1) * _BLOCK))
            yield from (letter for letter in letters if letter.isalpha() and letter.islower())
