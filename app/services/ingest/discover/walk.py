"""Walk through a library's folder, and note what is left out."""

from collections.abc import Iterator
from os import stat_result
from pathlib import Path
from stat import S_ISDIR, S_ISLNK

from msgspec import Struct

from app.services.ingest.bounds import MAX_FOLDER_DEPTH
from app.services.ingest.files import LibraryFolder
from app.services.ingest.names import is_utf8


class Walk(Struct):
    """What is left out of a library's folder; `unreadable` maps paths to reasons."""

    folder: LibraryFolder
    broken: list[tuple[str, str]] = []
    unreadable: dict[str, str] = {}
    skipped: int = 0
    unassigned: list[str] = []
    links: list[str] = []
    # The device and inode of each folder that was read: a link may lead back to one.
    visited: set[tuple[int, int]] = set()

    def key(self, path: Path) -> str:
        """Return a path relative to the library's folder."""
        return path.relative_to(self.folder.root).as_posix()

    def entries(self, path: Path) -> Iterator[tuple[Path, int]]:
        """Yield the files and folders in a folder that may be read, with their modes.

        Raises OSError if the library's own folder cannot be read.
        """
        if len(path.relative_to(self.folder.root).parts) > MAX_FOLDER_DEPTH:
            self.unreadable[self.key(path)] = f"is nested deeper than {MAX_FOLDER_DEPTH} folders"
            return
        try:
            self.visited.add(_identity(path.stat()))
            paths = sorted(path.iterdir())
        except OSError as error:
            if path == self.folder.root:
                raise
            self._add_unreadable(path, error)
            return
        for inner in paths:
            if not inner.name.startswith(".") and (mode := self._mode(inner)):
                yield inner, mode

    def _mode(self, path: Path) -> int | None:
        """Return a file's mode, or None if it is left out."""
        if not is_utf8(path.name):
            self.broken.append((self.key(path), "its name is not UTF-8"))
            return None
        try:
            is_link = S_ISLNK(path.lstat().st_mode)
            if is_link and not self.folder.follow_links:
                self.links.append(self.key(path))
                return None
            status = path.stat()
        except OSError as error:
            self._add_unreadable(path, error)
            return None
        if is_link and S_ISDIR(status.st_mode) and _identity(status) in self.visited:
            self.links.append(self.key(path))
            return None
        return status.st_mode

    def _add_unreadable(self, path: Path, error: OSError) -> None:
        self.unreadable[self.key(path)] = f"cannot be read: {error.strerror}"


def _identity(status: stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
