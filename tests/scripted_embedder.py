"""Responses of an OpenAI-compatible embedding server, for a `ScriptedModel`.

    async with ScriptedModel() as server:
        server.answers(refuse(503), embeddings())
        ...                                     # the service calls server.base_url

`embeddings()` answers any request: texts that share words get similar vectors.
"""

import json
import re
from collections.abc import Callable, Sequence
from zlib import crc32

from tests.scripted_model import JSON, Answer, Request, refuse

Vector = Sequence[float]


def word_counts(text: str, dimensions: int = 64) -> list[float]:
    """Count a text's words in hash bins; the vector is never zero, and not of length one."""
    vector = [0.01] * dimensions
    for word in re.findall(r"\w+", text.casefold()):
        vector[crc32(word.encode()) % dimensions] += 1
    return vector


def embeddings(
    vector_of: Callable[[str], Vector] = word_counts, backwards: bool = False
) -> Callable[[Request], Answer]:
    """Respond with a vector for each text of the request, the last one first if `backwards`."""

    def answer(request: Request) -> Answer:
        items = [item(index, vector_of(text)) for index, text in enumerate(request.body["input"])]
        return answer_with(items[::-1] if backwards else items)

    return answer


def item(index: int, vector: object) -> JSON:
    """Return one vector in the format of the response."""
    return {"object": "embedding", "index": index, "embedding": vector}


def answer_with(items: Sequence[JSON]) -> Answer:
    """Respond with these items to any request."""
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return refuse(200, json.dumps({"object": "list", "data": list(items), "usage": usage}))
