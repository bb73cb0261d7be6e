"""Changes to counts in Redis that can wait for the next round trip."""

from collections.abc import Sequence
from typing import TypeAlias

# Its name, its one key, and further arguments.
Command: TypeAlias = tuple[str | int, ...]


class Changes:
    """Commands by key, each of which is taken once.

    Removals are returned by `take` again as long as those that `take_all` returned may be on their
    way: a caller that has read the end of an answer must be able to ask again at once.
    """

    def __init__(self) -> None:
        self._commands: dict[str, list[Command]] = {}
        self._removals: dict[str, list[Command]] = {}

    def add(self, key: str, *commands: Command) -> None:
        """Add commands for a key."""
        self._commands.setdefault(key, []).extend(commands)

    def take(self, key: str) -> Sequence[Command]:
        """Return a key's commands."""
        return (*self._removals.get(key, ()), *self._commands.pop(key, ()))

    def take_all(self) -> list[Command]:
        """Return the commands of all keys; the caller has sent what this returned before."""
        taken = self._commands
        self._commands = {}
        self._removals = {
            key: [command for command in commands if command[0] == "HDEL"]
            for key, commands in taken.items()
        }
        return [command for commands in taken.values() for command in commands]
