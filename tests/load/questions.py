"""Questions that a running service's library can answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

# Enough to cover a library, and few enough to search for at once.
MAX_CREATORS = 50
# Seconds for each response.
LIMIT = 10


class EmptyLibrary(Exception):
    """The library is empty."""


@dataclass(frozen=True)
class Question:
    """A question and the slug of its creator; `topic` is for a follow-up."""

    query: str
    creator: str
    topic: str


def draw(host: str) -> list[Question]:
    """Make questions from the titles that the search finds for each creator.

    Raises OSError if the service does not answer, and EmptyLibrary.
    """
    found: dict[str, Question] = {}
    for creator in _get(host, "creators", {})[:MAX_CREATORS]:
        citations = _search(host, creator, creator["name"])
        for topic in {citation["topic"] for citation in citations}:
            citations += _search(host, creator, topic)
        for citation in citations:
            name, slug = citation["creator"]["name"], citation["creator"]["slug"]
            query = f"What does {name} say about {citation['title']}?"
            found.setdefault(query, Question(query, slug, citation["topic"]))
    if not found:
        raise EmptyLibrary(f"the library at {host} has nothing to ask about: ingest a folder first")
    return list(found.values())


def _search(host: str, creator: Mapping[str, Any], words: str) -> list[Any]:
    found = _get(host, "search", {"q": words, "creator": creator["slug"]})
    citations: list[Any] = found["citations"]
    return citations


def _get(host: str, path: str, query: Mapping[str, str]) -> Any:
    url = f"{host}/api/v1/{path}?{urlencode(query)}"
    with urlopen(url, timeout=LIMIT) as reply:  # noqa: S310 -- an address that was given
        return json.load(reply)
