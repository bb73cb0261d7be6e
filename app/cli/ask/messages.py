"""What a service tells of an answer comes in; words for people go out. Pure."""

from app.schemas import Citation, Done

_FROM = {
    "domain": "from others on the same topics",
    "global": "from the whole library",
    "none": "from what was said before",
}


def scope(done: Done, asked: str | None) -> str:
    """Say whose material answered, and why not that of the creator who was `asked` for."""
    creator = done.scope.creator
    if done.cascade_tier == "creator" and creator:
        return f"From {creator.name}'s own videos and pages"
    origin = _FROM.get(done.cascade_tier, "")
    if done.cascade_tier == "none":
        missing = "The library has nothing on this"
    elif creator:
        verdicts = {tier.tier: tier.verdict for tier in done.scope.tiers}
        others = verdicts.get("creator") == "others say more"
        missing = (
            f"Others say more on this than {creator.name}"
            if others
            else f"Nothing by {creator.name} on this"
        )
    elif asked:
        missing = f'No creator here is called "{asked}"'
    else:
        return origin.capitalize()
    return f"{missing}; {origin}"


def source(citation: Citation) -> tuple[str, str]:
    """Name a source, with the moment where it is spoken of, and give its address ("" for none)."""
    named = f"{citation.title}, by {citation.creator.name}"
    if citation.start_seconds is not None:
        named += f", {moment(citation.start_seconds)}"
    return _in_one_line(named), _in_one_line(citation.url or "")


def moment(seconds: float) -> str:
    """Write a place in a video as its player does: 3:35, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
