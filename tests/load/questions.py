"""Questions made from a service's own library."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

# Enough for varied questions, few enough for a fast start.
MAX_CREATORS = 50
# Seconds for each response.
TIMEOUT = 10


class EmptyLibrary(Exception):
    """The library has no documents to ask about."""


@dataclass(frozen=True)
class Question:
    """A question, the slug of the creator it names, and a topic for a follow-up."""

    query: str
    creator: str
    topic: str


def make_questions(host: str, key: str = "") -> list[Question]:
    """Make questions from the titles that a search finds for each creator and its topics.

    Raises OSError if the service does not respond, and EmptyLibrary.
    """
    found: dict[str, Question] = {}
    library = _Library(host, key)
    for creator in library.get("creators", {})[:MAX_CREATORS]:
        citations = library.search(creator, creator["name"])
        for topic in {citation["topic"] for citation in citations}:
            citations += library.search(creator, topic)
        for citation in citations:
            name, slug = citation["creator"]["name"], citation["creator"]["slug"]
            query = f"What does {name} say about {citation['title']}?"
            found.setdefault(query, Question(query, slug, citation["topic"]))
    if not found:
        raise EmptyLibrary(f"the library at {host} is empty; ingest a folder first")
    return list(found.values())


class _Library:
    """The library of a service."""

    def __init__(self, host: str, key: str) -> None:
        self._host = host
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def search(self, creator: Mapping[str, Any], words: str) -> list[Any]:
        """Return the citations for words."""
        found = self.get("search", {"q": words, "creator": creator["slug"]})
        citations: list[Any] = found["citations"]
        return citations

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Return what the API has at a path."""
        url = f"{self._host}/api/v1/{path}?{urlencode(query)}"
        request = Request(url, headers=self._headers)  # noqa: S310 -- the URL is an argument
        with urlopen(request, timeout=TIMEOUT) as reply:  # noqa: S310
            return json.load(reply)
