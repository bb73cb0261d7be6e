"""Identifies callers by a key or a token."""

from app.errors import Forbidden, Unauthenticated
from app.services.access.active_keys import ActiveKeys
from app.services.access.caller import Caller, is_subject
from app.services.access.keys import KEY_TEXT, Key
from app.services.access.tokens import Tokens

NEITHER = (
    "`Authorization: Bearer …` must have a key, which begins with chp_secret_ or chp_publishable_,"
    " or a token (JWT)."
)
INVALID_KEY = "The key is not valid: it is unknown, expired or revoked."
NO_ORIGIN = (
    "A publishable key works only in browsers on its own sites, which send an Origin header. Use a"
    " secret key on a server."
)
OTHER_ORIGIN = "This key may not be used on this site: its origin is not one of the key's."
BAD_END_USER = "X-Subject must be 1 to 200 visible ASCII characters."
NO_END_USER = "X-Subject works only with a secret key."


class Bearer:
    """Knows the keys, and how tokens are checked."""

    def __init__(self, keys: ActiveKeys, tokens: Tokens) -> None:
        self._keys = keys
        self._tokens = tokens

    async def knows(self, key_id: str) -> bool:
        """Return whether a key is active; raises Unavailable."""
        return await self._keys.find(key_id) is not None

    async def identify(
        self, text: str, *, address: str, end_user: str | None, origin: str | None
    ) -> Caller:
        """Return the caller who sends a key or token.

        Raises Unauthenticated, Forbidden and Unavailable.
        """
        if parts := KEY_TEXT.fullmatch(text):
            kind, key_id, secret = parts.groups()
            key = await self._keys.find(key_id)
            if key is None or not key.matches(kind, secret):
                raise Unauthenticated(INVALID_KEY, key_id=key_id)
            return _with_key(key, address, end_user, origin)
        if end_user is not None:
            raise Forbidden(NO_END_USER)
        if text.count(".") != 2:
            raise Unauthenticated(NEITHER)
        return await self._with_token(text, address, origin)

    async def _with_token(self, text: str, address: str, origin: str | None) -> Caller:
        verified = await self._tokens.verify(text)
        key, claims = verified.key, verified.claims
        if key is None:
            return Caller(
                address=address,
                identity="token",
                subject=f"jwks:{claims.sub}",
                subject_quota=claims.quota,
                creators=claims.creators,
            )
        if origin is not None and key.origins and origin not in key.origins:
            raise Forbidden(OTHER_ORIGIN)
        return Caller(
            address=address,
            identity="token",
            subject=f"key:{key.id}:{claims.sub}",
            key_id=key.id,
            quota=key.quota,
            subject_quota=claims.quota.within(key.quota),
            creators=_allowed_by_both(key.creators, claims.creators),
        )


def _with_key(key: Key, address: str, end_user: str | None, origin: str | None) -> Caller:
    subject = f"key:{key.id}"
    if key.kind == "publishable":
        if origin is None:
            raise Forbidden(NO_ORIGIN)
        if origin not in key.origins:
            raise Forbidden(OTHER_ORIGIN)
        if end_user is not None:
            raise Forbidden(NO_END_USER)
    elif end_user is not None:
        if not is_subject(end_user):
            raise Forbidden(BAD_END_USER)
        subject = f"{subject}:{end_user}"
    return Caller(
        address=address,
        identity=key.kind,
        subject=subject,
        key_id=key.id,
        quota=key.quota,
        creators=key.creators,
    )


def _allowed_by_both(
    one: tuple[str, ...] | None, other: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(slug for slug in other if slug in one)
