"""Find the new text in pieces that repeat what was sent before."""

from app.infra.http.sse import BadEvent

# Characters of repeated text that cannot be chance.
_CERTAIN = 12


class NewText:
    """Tells pieces that are new text from those that repeat all text so far.

    A few servers send all text so far with every event. That is certain once the second piece
    begins with the whole first one, and the third with the second. Only until then is the second
    one held back. `settled` is set once all pieces are known to be new text.
    """

    def __init__(self) -> None:
        self.settled = False
        # Characters that were passed on.
        self.length = 0
        # The text so far, or once settled its beginning.
        self._known = ""
        self._repeats = False
        self._held: list[str] = []
        self._only_messages = False

    def add(self, piece: str) -> str:
        """Return the new text that is certain.

        Raises BadEvent if the piece should repeat all text so far and does not.
        """
        if self.settled or not piece:
            return self._pass(piece)
        if self._repeats:
            return self._rest(piece)
        if not self.length:
            self._known = piece
            return self._pass(piece)
        last = self._held[-1] if self._held else self._known
        if len(piece) <= len(last) or not piece.startswith(last):
            return self._settle() + self._pass(piece)
        if self._held and len(last) > _CERTAIN:
            return self._rest(piece)
        self._held.append(piece)
        return ""

    def add_message(self, text: str) -> str:
        """Return the new text of a message, which has all text so far or is one more piece."""
        if not self.length:
            self._only_messages = True
            return self.add(text)
        if len(text) >= self.length and text.startswith(self._known):
            self._held.clear()
            return self._pass(text[self.length :])
        # The text of pieces may be repeated in another form, without thoughts for instance.
        return self._settle() + (self._pass(text) if self._only_messages else "")

    def end(self) -> str:
        """Return what is still held back."""
        if self._held and len(self._known) > _CERTAIN:
            return self._rest(self._held[-1])
        return self._settle()

    def _rest(self, piece: str) -> str:
        self._repeats = True
        self._held.clear()
        if self._known.startswith(piece):
            return ""
        if not piece.startswith(self._known):
            raise BadEvent("an event does not continue the text so far")
        new = piece[len(self._known) :]
        self._known = piece
        return self._pass(new)

    def _settle(self) -> str:
        self.settled = not self._repeats
        held = "".join(self._held)
        self._held.clear()
        return self._pass(held)

    def _pass(self, text: str) -> str:
        self.length += len(text)
        return text
