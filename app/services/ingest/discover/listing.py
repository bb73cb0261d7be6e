"""The contents of a library's folder."""

from msgspec import Struct

from app.services.ingest.entry import LibraryEntry


class LibraryListing(Struct, frozen=True):
    """Creators and documents of a folder, and the files that cannot be used.

    `creators` maps slugs to names that a file or the manifest states, `fallback_names` the other
    slugs to names made of their folders' names. `keys` has every document in the folder, broken
    ones included; paths in `unreadable` may hold more. `broken` has pairs of a path and a reason.
    `skipped` counts files in unsupported formats, `unassigned` has the paths of pages and
    transcripts outside the creators' folders, `links` those of symbolic links that are not read.
    """

    creators: dict[str, str]
    fallback_names: dict[str, str]
    entries: tuple[LibraryEntry, ...]
    keys: frozenset[str]
    broken: tuple[tuple[str, str], ...]
    skipped: int = 0
    unreadable: tuple[str, ...] = ()
    unassigned: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def may_contain(self, key: str) -> bool:
        """Return whether a document is in the folder, or could be under an unreadable path."""
        return key in self.keys or any(
            key == path or key.startswith(f"{path}/") for path in self.unreadable
        )
