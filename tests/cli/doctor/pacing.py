"""Model answers that take time."""

import anyio

from tests.scripted_model import Answer, Step, say


class Pause(anyio.Event):
    """A step that takes some seconds by itself."""

    def __new__(cls, seconds: float) -> "Pause":
        return object.__new__(cls)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def wait(self) -> None:
        """Wait for the given time."""
        await anyio.sleep(self._seconds)


def count(seconds: float = 0.3, pieces: int = 20) -> Answer:
    """Count, evenly over so many seconds."""
    steps: list[Step] = []
    for number in range(pieces):
        steps += [f"{number} ", Pause(seconds / pieces)]
    return say(*steps, usage=(20, 40))
