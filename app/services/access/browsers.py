"""Anonymous browsers: the page's cookie gives each a subject of its own."""

import secrets
import time

from app.services.access.signing import Signer

DAY = 86_400
LIFETIME = 180 * DAY
RENEWED_AFTER = 30 * DAY


class Browsers:
    """Makes and reads the values of the page's cookie."""

    def __init__(self, secret: bytes) -> None:
        self._signer = Signer(secret, "browser")

    def subject(self, cookie: str) -> str:
        """Return the subject of a cookie, "" if it is missing or invalid."""
        claims = self._signer.verify(cookie) if cookie else None
        return str(claims["sub"]) if claims else ""

    def renewed(self, cookie: str) -> str:
        """Return the cookie to set instead: for another browser if it is invalid, "" for none."""
        claims = self._signer.verify(cookie) if cookie else None
        if claims is None:
            subject = f"browser:{secrets.token_hex(16)}"
        elif claims["exp"] > time.time() + LIFETIME - RENEWED_AFTER:
            return ""
        else:
            subject = claims["sub"]
        return self._signer.sign({"sub": subject}, lifetime=LIFETIME)
