"""Find the text in the parts of a chat completion, in each shape that servers give it."""

from app.infra.http.sse import BadEvent

_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_TEXT_TYPES = ("text", "output_text", "refusal")


def text_of(content: object) -> str:
    """Return the text of a `content`: a string, a part, or a list of either.

    Parts that are not text, such as thoughts, are left out. Raises BadEvent for any other type.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(text_of, content))
    if isinstance(content, dict):
        kind = content.get("type", "text")
        if kind not in _TEXT_TYPES:
            return ""
        value = content.get("refusal") if kind == "refusal" else content.get("text")
        return text_of(value.get("value") if isinstance(value, dict) else value)
    if content:
        raise BadEvent("the content is not text")
    return ""


def has_thoughts(part: dict[str, object]) -> bool:
    """Return whether a `delta` or `message` has thoughts apart from its text."""
    content = part.get("content")
    return any(part.get(name) for name in _THOUGHTS) or (
        isinstance(content, list)
        and any(isinstance(item, dict) and item.get("type") == "thinking" for item in content)
    )


def part_of(choice: dict[str, object], name: str) -> dict[str, object]:
    """Return the `delta` or `message` of a choice; a string stands for its content."""
    part = choice.get(name)
    if isinstance(part, dict):
        return part
    return {"content": part} if part else {}
