"""Read the files of a library's folder, and only those."""

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from msgspec import Struct

from app.services.ingest.errors import BrokenFile


class LibraryFolder(Struct, frozen=True):
    """A library's folder; files outside are read only if links to them are followed."""

    root: Path
    follow_links: bool = False

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a file. Raises BrokenFile if it is unreadable or too large.

        `path` is relative to the folder and uses `/`.
        """
        return self._read(path, limit, whole=True)

    def read_head(self, path: str, size: int) -> bytes:
        """Return up to `size` bytes from the start of a file. Raises BrokenFile."""
        return self._read(path, size, whole=False)

    def _read(self, path: str, limit: int, *, whole: bool) -> bytes:
        try:
            descriptor = self._open(path)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise BrokenFile("is not a regular file")
                if whole and status.st_size > limit:
                    raise _too_large(limit)
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    # The file may be growing, and some of the system's files have no size.
                    data = file.read(limit + whole)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BrokenFile(f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise BrokenFile("cannot be read: its path is not valid") from None
        if len(data) > limit:
            raise _too_large(limit)
        return data

    def _open(self, path: str) -> int:
        """Open a file step by step, so that no part of the path can become a link meanwhile."""
        # Opening a pipe must not wait for a writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        if self.follow_links:
            return os.open(self.root / path, flags)
        flags |= os.O_NOFOLLOW
        *parents, name = PurePosixPath(path).parts
        if {"/", ".."} & {*parents, name}:
            raise BrokenFile("is outside the library's folder")
        folder = os.open(self.root, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for parent in parents:
                inner = _open_entry(parent, flags | os.O_DIRECTORY, folder)
                os.close(folder)
                folder = inner
            return _open_entry(name, flags, folder)
        finally:
            os.close(folder)


def _open_entry(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and _is_link(name, folder):
            raise BrokenFile("is behind a symbolic link; --follow-links reads it") from None
        raise


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _too_large(limit: int) -> BrokenFile:
    return BrokenFile(f"is larger than {limit // 1_000_000} MB")
