"""Trace context of requests, per W3C Trace Context.

The service records no traces itself: it logs the ids with each line of a request, and sends them to
the model and embedding servers.
"""

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar

from msgspec import Struct

# Version 00 ends with its flags, later versions may have more fields; ff is forbidden.
_PARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_STATE = re.compile(
    rb"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_MAX_STATES = 32


class TraceContext(Struct, frozen=True):
    """The trace of a request, and the request's span in it; `state` is vendor-specific data."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that pass this trace on to another server."""
        parent = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"}
        return parent | {"tracestate": self.state} if self.state else parent


current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def outgoing_headers() -> dict[str, str]:
    """Return the trace headers for requests to other servers; empty outside a request."""
    trace = current.get()
    return trace.headers if trace is not None else {}


def continue_trace(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext:
    """Continue the caller's trace; start a new one if the headers have none or it is invalid.

    `headers` are ASGI headers: names in lower case, and values.
    """
    headers = [pair for pair in headers if pair[0] in (b"traceparent", b"tracestate")]
    parents = [value for name, value in headers if name == b"traceparent"]
    parent = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if parent is None:
        ids = secrets.token_hex(24)
        # Sampled, because the log has a line for each request.
        return TraceContext(ids[:32], ids[32:], sampled=True)
    states = b",".join(value for name, value in headers if name == b"tracestate")
    return TraceContext(
        trace_id=parent[1].decode(),
        span_id=secrets.token_hex(8),
        sampled=bool(int(parent[2], 16) & 1),
        state=states.decode() if _is_valid_state(states) else "",
    )


def _is_valid_state(states: bytes) -> bool:
    members = [member for part in states.split(b",") if (member := part.strip(b" \t"))]
    return 0 < len(members) <= _MAX_STATES and all(map(_STATE.fullmatch, members))
