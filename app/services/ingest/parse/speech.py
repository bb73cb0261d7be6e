"""Turn captions into cues: markup removed, speakers named."""

import html
import re
from collections.abc import Iterator, Sequence

from app.services.ingest.parse.captions import Caption
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.speakers import SpeakerNames

_TAG = re.compile(
    r"</?(?:[biusc]|em|strong|font|span|lang|ruby|rt|center|window|v)(?:[.\s][^<>]*)?/?>"
    r"|<\d[\d:.]*>|\{\\[^{}]*\}",
    re.IGNORECASE,
)
_LINE_BREAK = re.compile(r"<br\s*/?>|\[br\]", re.IGNORECASE)
_VOICE_TAG = re.compile(r"<v(?:\.[^\s<>]+)?\s+([^\s<>][^<>]*)>", re.IGNORECASE)


def caption_cues(captions: Sequence[Caption], speakers: Sequence[str] = ()) -> list[Cue]:
    """Return a cue for each part of a caption that one person says.

    `speakers` are the people known to be in the video.
    """
    split_captions = [(caption, list(_split_voices(caption))) for caption in captions]
    lines = [line for _, parts in split_captions for _, lines in parts for line in lines]
    names = SpeakerNames(speakers, lines)
    has_voice_tags = any(voice for _, parts in split_captions for voice, _ in parts)
    cues: list[Cue] = []
    speaker: str | None = None
    for caption, parts in split_captions:
        spoken: list[tuple[str | None, list[str]]] = []
        for voice, lines in parts:
            # A voice tag applies to its caption, a label until the next one.
            speaker = voice if has_voice_tags else speaker
            for line in lines:
                changed, speaker, text = names.split(line, speaker)
                if spoken and not changed and spoken[-1][0] == speaker:
                    spoken[-1][1].append(text)
                else:
                    spoken.append((speaker, [text]))
        cues += _with_times(
            [Cue(" ".join(filter(None, lines)), speaker=name) for name, lines in spoken], caption
        )
    return cues


def _split_voices(caption: Caption) -> Iterator[tuple[str | None, list[str]]]:
    """Split a caption at its voice tags into pairs of a speaker, if named, and clean lines."""
    pieces = _VOICE_TAG.split("\n".join(caption.lines))
    for voice, body in zip([None, *pieces[1::2]], pieces[::2], strict=True):
        lines = [
            " ".join(html.unescape(_TAG.sub("", line)).split())
            for line in _LINE_BREAK.sub("\n", body).split("\n")
        ]
        spoken = [line for line in lines if line]
        if spoken or voice:
            yield voice and " ".join(html.unescape(voice).split()), spoken


def _with_times(cues: Sequence[Cue], caption: Caption) -> list[Cue]:
    """Give the caption's start to the first cue and its end to the last."""
    last = len(cues) - 1
    return [
        Cue(
            cue.text,
            start=caption.start if n == 0 else None,
            end=caption.end if n == last else None,
            speaker=cue.speaker,
        )
        for n, cue in enumerate(cues)
    ]
