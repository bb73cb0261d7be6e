"""Names of the keys in Redis.

The braces put all keys of one stream, and all keys of one worker, into one slot of a cluster.
Streams have the prefix `turn:`, since workers of an earlier release share these keys.
"""


def log_key(stream_id: str) -> str:
    """Return the key of a stream's log (see `log_format`)."""
    return f"turn:{{{stream_id}}}:log"


def remote_viewers_key(stream_id: str) -> str:
    """Return the key that exists while a stream has viewers on other workers than its own."""
    return f"turn:{{{stream_id}}}:watched"


def lease_key(worker: str) -> str:
    """Return the key of a worker's lease; its value changes each time the worker renews it."""
    return f"worker:{{{worker}}}:lease"


def stop_key(worker: str) -> str:
    """Return the key of the set of a worker's streams that other workers want stopped."""
    return f"worker:{{{worker}}}:stop"
