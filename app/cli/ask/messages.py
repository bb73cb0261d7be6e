"""Describe an answer's scope and sources in words."""

from app.schemas import Citation, Done

_ORIGINS = {
    "domain": "from others on the same topics",
    "global": "from the whole library",
}


def scope_line(done: Done, requested_creator: str | None) -> str:
    """Describe where the answer is from, and why it is not from the requested creator."""
    creator = done.scope.creator
    if done.cascade_tier == "creator" and creator:
        return f"From {creator.name}'s own videos and pages"
    if done.cascade_tier == "none":
        return "From the conversation so far"
    origin = _ORIGINS.get(done.cascade_tier, "")
    if creator:
        verdicts = {tier.tier: tier.verdict for tier in done.scope.tiers}
        others = verdicts.get("creator") == "others say more"
        reason = (
            f"Others say more on this than {creator.name}"
            if others
            else f"Nothing by {creator.name} on this"
        )
    elif requested_creator:
        reason = f'No creator is called "{requested_creator}"'
    else:
        return origin.capitalize()
    return f"{reason}; {origin}"


def source_lines(citation: Citation) -> tuple[str, str]:
    """Return a source's title, creator and time on one line, and its URL ("" if it has none)."""
    title = f"{citation.title}, by {citation.creator.name}"
    if citation.start_seconds is not None:
        title += f", {timestamp(citation.start_seconds)}"
    return _in_one_line(title), _in_one_line(citation.url or "")


def timestamp(seconds: float) -> str:
    """Format a position in a video like a player does: 3:35, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
