"""Checks tokens: JSON Web Tokens that the operator's own server or identity provider signs.

The key that a token names decides how it is checked, as RFC 8725 asks: HS256 with the signing
secret of one of the service's own keys, or one of the issuer's public keys with its own algorithm.
"""

import re
import time
from typing import Any, Protocol

import jwt
import msgspec
from msgspec import Struct

from app.errors import Unauthenticated
from app.services.access.active_keys import ActiveKeys
from app.services.access.caller import Quota, is_subject
from app.services.access.keys import KEY_ID, Key, signing_secret

# In bytes.
TOKEN_LIMIT = 8 * 1024
# Seconds that a token signed with a key's signing secret may be valid, and that clocks may differ.
MAX_LIFETIME, LEEWAY = 15 * 60, 10
MAX_CREATORS = 1_000
# Valid tokens that are remembered, and the seconds for which those of another issuer are.
REMEMBERED, REMEMBERED_FOR = 1_000, 300

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Parameters that bring or fetch keys, compress, or change how the others are understood.
_REFUSED_PARAMETERS = {"jku", "x5u", "jwk", "x5c", "crit", "zip", "b64", "enc"}

MALFORMED = "The token is not a signed JWT of at most 8 KB."
UNKNOWN_KEY = "The token's header must have the `kid` of an active secret key that signs it."
BAD_CLAIMS = (
    "The token's `sub` must be 1 to 200 visible ASCII characters, its `creators` a list of slugs,"
    " and its `quota` an object of positive whole numbers (per_minute, per_day, at_once,"
    " tokens_per_day)."
)
TOO_LONG = "The token must expire within 15 minutes."


class Claims(Struct, frozen=True):
    """What a token says about its bearer."""

    sub: str
    exp: float
    creators: tuple[str, ...] | None = None
    quota: Quota = Quota()


class VerifiedToken(Struct, frozen=True):
    """The claims of a valid token, and the service's own key that it is signed for, if it is."""

    claims: Claims
    key: Key | None = None


class PublicKeys(Protocol):
    """The public keys of another issuer."""

    issuer: str

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return a key; raises Unavailable."""


class Tokens:
    """Checks tokens for an `audience`; `database_secret` is what signing secrets are made from."""

    def __init__(
        self,
        keys: ActiveKeys,
        database_secret: bytes,
        audience: str,
        public_keys: PublicKeys | None = None,
    ) -> None:
        self._keys = keys
        self._secret = database_secret
        self._audience = audience
        self._public_keys = public_keys
        # By their text, with the time until which they need not be checked again.
        self._valid: dict[str, tuple[VerifiedToken, float]] = {}

    async def verify(self, token: str) -> VerifiedToken:
        """Check a token; raises Unauthenticated and Unavailable."""
        known, until = self._valid.get(token, (None, 0))
        if known is None or until <= time.time():
            known = await self._check(token)
            self._remember(token, known)
        elif known.key is not None and await self._keys.find(known.key.id) is None:
            raise Unauthenticated(UNKNOWN_KEY, key_id=known.key.id)
        return known

    def _remember(self, token: str, valid: VerifiedToken) -> None:
        # Also if it is there: the end of the dictionary has the latest ones.
        self._valid.pop(token, None)
        if len(self._valid) >= REMEMBERED:
            del self._valid[next(iter(self._valid))]
        until = valid.claims.exp
        if valid.key is None:
            until = min(until, time.time() + REMEMBERED_FOR)
        self._valid[token] = valid, until

    async def _check(self, token: str) -> VerifiedToken:
        key_id = _key_id(token)
        key = await self._keys.find(key_id) if KEY_ID.fullmatch(key_id) else None
        if key is not None and key.kind == "secret":
            claims = self._decode(token, signing_secret(self._secret, key.id), "HS256", key.id)
            if claims.exp > time.time() + MAX_LIFETIME + LEEWAY:
                raise Unauthenticated(TOO_LONG)
            return VerifiedToken(claims, key)
        public = await self._public_keys.find(key_id) if self._public_keys else None
        if self._public_keys is None or public is None:
            raise Unauthenticated(UNKNOWN_KEY)
        issuer = self._public_keys.issuer
        return VerifiedToken(self._decode(token, public, public.algorithm_name, issuer))

    def _decode(self, token: str, key: Any, algorithm: str, issuer: str) -> Claims:
        try:
            payload = jwt.decode(
                token,
                key,
                [algorithm],
                audience=self._audience,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
            claims = msgspec.convert(payload, Claims)
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(_explain(error, self._audience, issuer)) from None
        except (msgspec.ValidationError, ValueError, OverflowError, RecursionError):
            raise Unauthenticated(BAD_CLAIMS) from None
        if not is_subject(claims.sub) or len(claims.creators or ()) > MAX_CREATORS:
            raise Unauthenticated(BAD_CLAIMS)
        return claims


def _key_id(token: str) -> str:
    """Return the id of the key that a token names; nothing else of its header is believed."""
    if len(token) > TOKEN_LIMIT or not _FORM.fullmatch(token):
        raise Unauthenticated(MALFORMED)
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthenticated(MALFORMED) from None
    if not _REFUSED_PARAMETERS.isdisjoint(header):
        raise Unauthenticated(MALFORMED)
    return str(header.get("kid", ""))


def _explain(error: jwt.InvalidTokenError, audience: str, issuer: str) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "The token has expired. Get a new one."
        case jwt.ImmatureSignatureError():
            return "The token is not valid yet. Check the clocks of the servers."
        case jwt.MissingRequiredClaimError(claim=claim):
            return f"The token has no `{claim}`."
        case jwt.InvalidAudienceError():
            return f"The token's `aud` must be `{audience}`."
        case jwt.InvalidIssuerError():
            return f"The token's `iss` must be `{issuer}`."
        case jwt.exceptions.InvalidSubjectError():
            return BAD_CLAIMS
    return "The token's signature is wrong, or its algorithm is not that of its key."
