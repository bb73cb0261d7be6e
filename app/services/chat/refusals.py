"""Write the answers that need no model: refusals, and replies to small talk."""

from collections.abc import Iterable

from app.schemas import Retrieval, Source
from app.services.chat.phrasebooks import Phrasebook, phrasebook
from app.services.chat.prompt import clock
from app.services.chat.small_talk import SmallTalk

# Brackets in a title could look like a citation marker.
_BRACKETS = str.maketrans("[]", "()")


def refusal(found: Retrieval, language: str, question_language: str | None) -> str:
    """Say in a language that the library has no answer, and what helps.

    That is the library's language, terms that it never has, or the closest moments.
    `question_language` is the question's own language, None if it is uncertain.
    """
    book = phrasebook(language)
    parts = [book.refusals.nothing]
    known = found.library_languages
    if question_language is not None and known and question_language not in known:
        parts.append(_languages(book, known))
    elif found.unknown_terms:
        parts.append(_unknown(book, found.unknown_terms))
    if found.closest:
        parts.append(book.refusals.closest)
        return " ".join(parts) + "\n\n" + "\n".join(map(_moment, found.closest))
    return " ".join(parts)


def _languages(book: Phrasebook, languages: Iterable[str]) -> str:
    names = ", ".join(book.names.get(language, language) for language in languages)
    return book.refusals.languages.replace("{languages}", names)


def _unknown(book: Phrasebook, terms: Iterable[str]) -> str:
    opening, closing = book.refusals.quotes
    quoted = (f"{opening}{term.translate(_BRACKETS)}{closing}" for term in terms)
    return book.refusals.unknown.replace("{terms}", book.refusals.or_.join(quoted))


def _moment(source: Source) -> str:
    """Return a source's title, time and marker as an item of a Markdown list."""
    title = " ".join(source.citation.title.translate(_BRACKETS).split())
    place = ", ".join(filter(None, (title, clock(source.citation.start_seconds))))
    return f"- {place} [{source.citation.number}]"


def reply_to(talk: SmallTalk, *, model: bool) -> str:
    """Reply to small talk in one line; `model` says whether a model writes the answers."""
    replies = phrasebook(talk.language).replies
    match talk.kind:
        case None:
            return replies.invitation
        case "identity":
            return f"{replies.about} {replies.written if model else replies.quoted}"
        case "capability":
            return f"{replies.about} {replies.invitation}"
        case "history":
            return replies.history
        case "rework":
            # With a model, there is no answer yet that it could rework.
            return replies.invitation if model else replies.rework
        case kind:
            opening: str = getattr(replies, kind)
            return f"{opening} {replies.invitation}"
