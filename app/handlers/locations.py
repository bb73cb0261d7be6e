"""Paths of the service's own resources, for `Location`."""


def stream_path(root_path: str, turn_id: str, ticket: str = "") -> str:
    """Return the path of a turn's stream, with a ticket for clients that cannot send headers."""
    path = f"{root_path}/api/v1/chat/{turn_id}"
    return f"{path}?ticket={ticket}" if ticket else path
