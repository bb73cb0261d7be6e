"""A service's address comes in; questions that its own library can answer go out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

# Enough to spread over a library, and few enough to ask for at once.
MAX_CREATORS = 50
# Seconds for each reply.
LIMIT = 10


class EmptyLibrary(Exception):
    """There is nothing to ask about."""


@dataclass(frozen=True)
class Question:
    """A question, and the creator that it names, by slug; `topic` is one to follow it up with."""

    query: str
    creator: str
    topic: str


def draw(host: str) -> list[Question]:
    """Make questions of the titles that the search finds for each creator, by name and by topic.

    Raises OSError where the service does not answer, and EmptyLibrary.
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
