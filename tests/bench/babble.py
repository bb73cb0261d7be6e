"""Generate any number of documents that resemble real transcripts.

Sentences are random walks from a word to one that has followed it in the transcripts, so common
words are as common as in real speech. Rare words, of which a growing library always has new ones,
are invented names: of n names drawn, about n^0.7 are different (Heaps' law).
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
MIN_SENTENCES, SENTENCES = 10, 75
LONGEST_SENTENCE = 40
HEAPS, AT_FIRST = 0.7, 100
# The share of sentences with a name, and the number of names of a document.
NAMED, NAMES = 0.3, 8
SYLLABLES = "ba dor el fin gar hu is jo kel lam mi nor os per quil ra sen tor ul vi wen xa yor zed"


class Walk:
    """Random walks through a text."""

    def __init__(self, chance: random.Random, words: Sequence[str]) -> None:
        self._chance = chance
        self._words = words
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, word in enumerate(words[:-1]):
            self._places[word].append(place)
        self._starts = [n + 1 for n, word in enumerate(words[:-2]) if word.endswith((".", "?"))]

    def sentence(self) -> list[str]:
        """Walk until a sentence ends or becomes too long."""
        place = self._chance.choice(self._starts)
        said: list[str] = []
        while len(said) < LONGEST_SENTENCE:
            said.append(self._words[place])
            if said[-1].endswith((".", "?")) or said[-1] not in self._places:
                return said
            place = self._chance.choice(self._places[said[-1]]) + 1
        return [*said[:-1], f"{said[-1].rstrip(',;:-')}."]


class Names:
    """Invented names: new ones become rare, and old ones recur as often as before."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._drawn: list[str] = []
        self._different = 0

    def draw(self) -> str:
        """Return a name, possibly a new one."""
        fresh = (AT_FIRST + HEAPS * self._different) / (AT_FIRST + len(self._drawn))
        if self._chance.random() < fresh:
            name = "".join(self._chance.choices(SYLLABLES.split(), k=4)).capitalize()
            self._different += 1
        else:
            name = self._chance.choice(self._drawn)
        self._drawn.append(name)
        return name


class Babble:
    """Generates the same documents of `CREATORS` creators on `TOPICS` topics each time.

    A few creators have a twentieth of all documents each, and most have few. A creator has one to
    four topics, and a topic has its own part of the transcripts.
    """

    def __init__(self, folder: Path) -> None:
        self._chance = random.Random(20)  # noqa: S311 -- the same each time, and no secret
        words = _words(folder)
        part = len(words) // TOPICS
        self._walks = [Walk(self._chance, words[n * part : (n + 1) * part]) for n in range(TOPICS)]
        self._names = Names(self._chance)
        self._creators = [f"{self._names.draw()} {n}" for n in range(CREATORS)]
        self._shares = [1 / (n + 2) for n in range(1, CREATORS + 1)]
        topics = range(TOPICS)
        wide = [1 / (n + 5) for n in topics]
        self._topics = [
            self._chance.choices(topics, wide, k=self._chance.randint(1, 4)) for _ in self._creators
        ]

    def documents(self, passages: int) -> Iterator[tuple[Document, str]]:
        """Yield documents with at least this many passages in total, and their creators' names."""
        made = number = 0
        while made < passages:
            creator = self._chance.choices(range(CREATORS), self._shares)[0]
            topic = self._chance.choice(self._topics[creator])
            document = self._document(number, self._creators[creator], topic)
            yield document, self._creators[creator]
            made, number = made + len(document.passages), number + 1

    def _document(self, number: int, creator: str, topic: int) -> Document:
        walk, names = self._walks[topic], [self._names.draw() for _ in range(NAMES)]
        length = MIN_SENTENCES + int(self._chance.expovariate(1 / (SENTENCES - MIN_SENTENCES)))
        cues: list[Cue] = []
        clock = words = 0.0
        for _ in range(length):
            said = walk.sentence()
            if self._chance.random() < NAMED:
                said[self._chance.randrange(len(said))] = self._chance.choice(names)
            words += len(said)
            ends = words / WORDS_PER_SECOND
            cues.append(Cue(" ".join(said), clock, ends))
            clock = ends
        return Document(
            key=str(number),
            creator=slugify(creator),
            kind="video",
            title=" ".join([*walk.sentence()[:5], names[0]]),
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
    """Read the Markdown files of a folder, without front matter."""
    words: list[str] = []
    for path in sorted(folder.rglob("*.md")):
        _, _, body = path.read_text(encoding="utf-8", errors="replace").rpartition("\n---\n")
        words += [word for word in body.split() if any(map(str.isalpha, word))]
    return words
