"""Normalize dates, titles and URLs from manifests, front matter and file names."""

import datetime
import re
from urllib.parse import urlsplit

from app.services.ingest.bounds import MAX_TITLE, MAX_URL
from app.services.ingest.names import clean_name, printable


def parse_date(value: object) -> datetime.date | None:
    """Return the date that a value such as `2024-05-31` or `20240531` begins with, if any."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        return None


def title_from_slug(slug: str) -> str:
    """Make a title of a file's or folder's name: spaces between words, no `[video id]`."""
    bare = re.sub(r"\s*\[[\w-]{6,}\]$", "", slug[:MAX_TITLE])
    words = clean_name(re.sub(r"[_-]+", " ", bare), MAX_TITLE) or printable(slug)
    return words[:1].upper() + words[1:]


def youtube_url(video_id: str) -> str:
    """Return the URL of a video on YouTube."""
    return f"https://www.youtube.com/watch?v={video_id}"


def web_url(url: object) -> str | None:
    """Return an `http` or `https` URL unchanged, and None for anything else."""
    text = str(url or "").strip()
    if len(text) > MAX_URL or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None
