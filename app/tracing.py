"""The headers of a request come in; the trace that it is a part of goes out (W3C Trace Context).

No trace is kept here: its ids are logged with each line of the request, and are passed on to the
servers that are asked for it.
"""

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar

from msgspec import Struct

# Version 00 ends with its flags; later ones, but for the forbidden ff, may have more after them.
_PARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_STATE = re.compile(
    rb"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_MOST_STATES = 32


class TraceContext(Struct, frozen=True):
    """A trace and the part of it, a span, that one request is; `state` is the callers' own."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a request has that is made for this one."""
        parent = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"}
        return parent | {"tracestate": self.state} if self.state else parent


current: ContextVar[TraceContext | None] = ContextVar("tracing", default=None)


def outgoing() -> dict[str, str]:
    """Return the headers that pass the current request's trace on; none where there is none."""
    trace = current.get()
    return trace.headers if trace is not None else {}


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext:
    """Take part in the caller's trace; begin one where there is none, or none that can be read.

    `headers` are pairs of a name in lower case and a value, as ASGI has them.
    """
    given = [pair for pair in headers if pair[0] in (b"traceparent", b"tracestate")]
    parents = [value for name, value in given if name == b"traceparent"]
    parent = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if parent is None:
        fresh = secrets.token_hex(24)
        # Sampled: each request is in the log, and whom it asks is to record its part as well.
        return TraceContext(fresh[:32], fresh[32:], sampled=True)
    states = b",".join(value for name, value in given if name == b"tracestate")
    return TraceContext(
        trace_id=parent[1].decode(),
        span_id=secrets.token_hex(8),
        sampled=bool(int(parent[2], 16) & 1),
        state=states.decode() if _well_formed(states) else "",
    )


def _well_formed(states: bytes) -> bool:
    members = [member for part in states.split(b",") if (member := part.strip(b" \t"))]
    return 0 < len(members) <= _MOST_STATES and all(map(_STATE.fullmatch, members))
