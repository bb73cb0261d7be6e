"""Public keys of another issuer of tokens, fetched as a JSON Web Key Set (RFC 7517)."""

import asyncio
import logging
import time
from contextlib import closing
from math import inf
from typing import Any

import jwt
import msgspec

from app.errors import Unavailable
from app.infra.connection_errors import describe
from app.infra.http.client import HTTPClient
from app.infra.http.endpoint import Endpoint
from app.infra.http.errors import BadResponse

log = logging.getLogger(__name__)

# In seconds; the last is for one attempt to fetch them.
MAX_AGE, RETRY_AFTER, TIMEOUT = 300.0, 30.0, 5.0
BODY_LIMIT = 1 << 20
MIN_RSA_BITS = 2048
# The only algorithm of a key, by its type and curve.
ALGORITHMS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class FetchedKeys:
    """Finds an issuer's keys by their ids. They are kept while their URL is away.

    They are fetched again when older than `max_age`, or for an unknown id, but not within
    `retry_after`; both are in seconds.
    """

    def __init__(
        self,
        http: HTTPClient,
        url: str,
        issuer: str,
        *,
        max_age: float = MAX_AGE,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.issuer = issuer
        self._http = http
        self._max_age, self._retry_after = max_age, retry_after
        self._endpoint = Endpoint.of(url, {"Accept": "application/json"})
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = -inf
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return a key; raises Unavailable if none could be fetched yet."""
        if self._is_due(key_id):
            async with self._fetching:
                # Another request may have fetched them meanwhile.
                if self._is_due(key_id):
                    await self._fetch()
        if self._fetched_at == -inf:
            raise Unavailable("Tokens cannot be checked at the moment. Try again in a minute.")
        return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        now = time.monotonic()
        stale = now > self._fetched_at + self._max_age or key_id not in self._keys
        return stale and now > self._tried_at + self._retry_after

    async def _fetch(self) -> None:
        try:
            until = asyncio.get_running_loop().time() + TIMEOUT
            response = await self._http.get(self._endpoint, until=until)
            with closing(response):
                if response.status != 200:
                    raise BadResponse(f"status {response.status}")
                self._keys = _usable_keys(await response.read(until, BODY_LIMIT))
            self._fetched_at = time.monotonic()
        except (BadResponse, OSError) as error:
            reason = str(error) if isinstance(error, BadResponse) else describe(error)
            log.warning("AUTH_JWKS_URL: public keys not fetched: %s", reason)
        self._tried_at = time.monotonic()


def _usable_keys(body: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys of a set that are for signatures with an algorithm that is allowed."""
    try:
        entries = msgspec.json.decode(body, type=dict[str, Any])["keys"]
        found = [_key(entry) for entry in entries if isinstance(entry, dict)]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        raise BadResponse("the response is not a set of keys") from None
    keys = {str(key.key_id): key for key in found if key is not None and key.key_id}
    if not keys:
        raise BadResponse("the response has no key for RS256, ES256 or EdDSA with a `kid`")
    return keys


def _key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    algorithm = ALGORITHMS.get((str(entry.get("kty")), str(entry.get("crv", ""))))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if algorithm != "RS256" or key.key.key_size >= MIN_RSA_BITS else None
