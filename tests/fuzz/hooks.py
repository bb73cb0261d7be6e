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
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"
    if case.headers.get("Last-Event-ID") and "turn_id" in case.path_parameters:
        case.headers["Last-Event-ID"] = f"{case.path_parameters['turn_id']}-0"
