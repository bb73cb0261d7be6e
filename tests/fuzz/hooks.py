"""Hooks that schemathesis loads: they make valid requests fit the requests before them."""

from itertools import count
from typing import Any

import schemathesis
from schemathesis import GenerationMode

_numbers = count()


@schemathesis.hook
def before_call(context: Any, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    """Give a valid request its own Idempotency-Key and a cursor of its own stream."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = f"key-of-a-request-{next(_numbers)}"
    for given, name in ((case.headers, "Last-Event-ID"), (case.query, "lastEventId")):
        if given and given.get(name) and "turn_id" in case.path_parameters:
            given[name] = f"{case.path_parameters['turn_id']}-0"
