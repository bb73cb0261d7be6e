"""Synthetic documents whose vocabulary grows like that of real transcripts.

Sentences are random walks through real transcripts from a word to one that followed it, so words
are as frequent as in real speech. Rare words are invented names: of n names drawn, about n^0.7 are
different (Heaps' law).
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.services.ingest.parse.chunk import chunk_speech
from app.services.ingest.parse.cues import WORDS_PER_SECOND, Cue
from app.services.ingest.parse.document import Document
from app.services.ingest.parse.sentences import build_sections
from app.services.search.text import slugify

CREATORS, TOPICS = 500, 60
# Sentences of a document, minimum and mean; about nine make a minute.
MIN_SENTENCES, MEAN_SENTENCES = 10, 75
MAX_SENTENCE_WORDS = 40
# Exponent of Heaps' law, and the number of draws below which almost every name is new.
HEAPS_EXPONENT, HEAPS_OFFSET = 0.7, 100
# Share of sentences that contain a name, and names of a document.
NAME_SHARE, NAMES = 0.3, 8
SYLLABLES = "ba dor el fin gar hu is jo kel lam mi nor os per quil ra sen tor ul vi wen xa yor zed"


class MarkovChain:
    """Random sentences in which each word has followed the previous one in the text."""

    def __init__(self, rng: random.Random, words: Sequence[str]) -> None:
        self._rng = rng
        self._words = words
        self._positions: dict[str, list[int]] = defaultdict(list)
        for position, word in enumerate(words[:-1]):
            self._positions[word].append(position)
        self._starts = [n + 1 for n, word in enumerate(words[:-2]) if word.endswith((".", "?"))]

    def sentence(self) -> list[str]:
        """Return the words of a sentence, cut off if it is too long."""
        position = self._rng.choice(self._starts)
        sentence: list[str] = []
        while len(sentence) < MAX_SENTENCE_WORDS:
            sentence.append(self._words[position])
            if sentence[-1].endswith((".", "?")) or sentence[-1] not in self._positions:
                return sentence
            position = self._rng.choice(self._positions[sentence[-1]]) + 1
        return [*sentence[:-1], f"{sentence[-1].rstrip(',;:-')}."]


class Names:
    """Invented names: new ones become rarer, known ones recur as often as drawn before."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._drawn: list[str] = []
        self._different = 0

    def draw(self) -> str:
        """Return a new or a known name."""
        probability_of_new = (HEAPS_OFFSET + HEAPS_EXPONENT * self._different) / (
            HEAPS_OFFSET + len(self._drawn)
        )
        if self._rng.random() < probability_of_new:
            name = "".join(self._rng.choices(SYLLABLES.split(), k=4)).capitalize()
            self._different += 1
        else:
            name = self._rng.choice(self._drawn)
        self._drawn.append(name)
        return name


class SyntheticLibrary:
    """Reproducible documents of `CREATORS` creators on `TOPICS` topics.

    A few creators have several percent of all documents each, most have few. Each has one to four
    topics; each topic uses its own part of the transcripts.
    """

    def __init__(self, folder: Path) -> None:
        self._rng = random.Random(20)  # noqa: S311 -- reproducible, not a secret
        words = _words(folder)
        part = len(words) // TOPICS
        self._chains = [
            MarkovChain(self._rng, words[n * part : (n + 1) * part]) for n in range(TOPICS)
        ]
        self._names = Names(self._rng)
        self._creators = [f"{self._names.draw()} {n}" for n in range(CREATORS)]
        self._shares = [1 / (n + 2) for n in range(1, CREATORS + 1)]
        topics = range(TOPICS)
        weights = [1 / (n + 5) for n in topics]
        self._topics = [
            self._rng.choices(topics, weights, k=self._rng.randint(1, 4)) for _ in self._creators
        ]

    def documents(self, passages: int) -> Iterator[tuple[Document, str]]:
        """Yield (document, creator's name) until there are at least `passages` passages."""
        total = number = 0
        while total < passages:
            creator = self._rng.choices(range(CREATORS), self._shares)[0]
            topic = self._rng.choice(self._topics[creator])
            document = self._document(number, self._creators[creator], topic)
            yield document, self._creators[creator]
            total, number = total + len(document.passages), number + 1

    def _document(self, number: int, creator: str, topic: int) -> Document:
        chain, names = self._chains[topic], [self._names.draw() for _ in range(NAMES)]
        length = MIN_SENTENCES + int(self._rng.expovariate(1 / (MEAN_SENTENCES - MIN_SENTENCES)))
        cues: list[Cue] = []
        clock = words = 0.0
        for _ in range(length):
            sentence = chain.sentence()
            if self._rng.random() < NAME_SHARE:
                sentence[self._rng.randrange(len(sentence))] = self._rng.choice(names)
            words += len(sentence)
            end = words / WORDS_PER_SECOND
            cues.append(Cue(" ".join(sentence), clock, end))
            clock = end
        return Document(
            key=str(number),
            creator=slugify(creator),
            kind="video",
            title=" ".join([*chain.sentence()[:5], names[0]]),
            topic=f"Topic {topic}",
            url=f"https://example.org/watch/{number}",
            language="en",
            speakers=(),
            published=None,
            words=int(words),
            passages=tuple(chunk_speech(build_sections(cues))),
            content_hash=number.to_bytes(8),
        )


def _words(folder: Path) -> list[str]:
    """Return the words of a folder's Markdown files, without the front matter."""
    words: list[str] = []
    for path in sorted(folder.rglob("*.md")):
        _, _, body = path.read_text(encoding="utf-8", errors="replace").rpartition("\n---\n")
        words += [word for word in body.split() if any(map(str.isalpha, word))]
    return words
