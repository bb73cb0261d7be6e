"""What schemathesis may ask is made to fit what it asked before; it loads this file by itself."""

from itertools import count
from typing import Any

import schemathesis
from schemathesis import GenerationMode

_numbers = count()


@schemathesis.hook
def before_call(context: Any, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    """Have a request that is to be taken be no other's retry, and go on with its own stream."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"
    if case.headers.get("Last-Event-ID") and "turn_id" in case.path_parameters:
        case.headers["Last-Event-ID"] = f"{case.path_parameters['turn_id']}-0"
