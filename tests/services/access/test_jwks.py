"""Tokens of another issuer, checked by the public keys that it publishes."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.errors import Unauthenticated, Unavailable
from app.infra.http.client import HTTPClient
from app.services.access.active_keys import ActiveKeys
from app.services.access.bearer import Bearer
from app.services.access.caller import Caller, Quota
from app.services.access.jwks import FetchedKeys
from app.services.access.tokens import Tokens
from tests.keys import AUDIENCE
from tests.raw_server import RawServer, hangs_up, raw_server, replies

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example/"
RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505
EC = ec.generate_private_key(ec.SECP256R1())
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
SIGNED_BY = {"r": (RSA, "RS256"), "e": (EC, "ES256"), "d": (ED, "EdDSA")}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwks() -> list[dict[str, Any]]:
    """Return the issuer's key set, with keys that must not be used."""
    r = RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
    return [
        r | {"kid": "r", "alg": "RS256", "use": "sig"},
        ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "e"},
        OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True) | {"kid": "d"},
        {"kty": "oct", "k": base64url(b"s" * 32), "kid": "secret", "alg": "HS256"},
        r | {"kid": "encryption", "use": "enc"},
        r | {"kid": "other-algorithm", "alg": "RS512"},
        RSAAlgorithm.to_jwk(WEAK_RSA.public_key(), as_dict=True) | {"kid": "weak"},
        ECAlgorithm.to_jwk(OTHER_CURVE.public_key(), as_dict=True) | {"kid": "other-curve"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 7},
    ]


def reply(body: Any) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


KEYS = reply({"keys": jwks()})


def token(kid: str, key: Any, algorithm: str, **claims: Any) -> str:
    default = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
    return jwt.encode(default | claims, key, algorithm, headers={"kid": kid})


def signed_with(secret: bytes) -> str:
    """Return a token of key `r` that is signed with HS256, which PyJWT refuses to do."""
    _, payload, _ = token("r", RSA, "RS256").split(".")
    head = base64url(b'{"alg":"HS256","kid":"r"}')
    signature = hmac.digest(secret, f"{head}.{payload}".encode(), "sha256")
    return f"{head}.{payload}.{base64url(signature)}"


@pytest.fixture
async def pool(anyio_backend: object, database_url: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        yield pool


def fetched_keys(http: HTTPClient, server: RawServer, **seconds: float) -> FetchedKeys:
    return FetchedKeys(http, f"http://127.0.0.1:{server.port}/keys", ISSUER, **seconds)


def bearer(pool: Any, public_keys: FetchedKeys) -> Bearer:
    keys = ActiveKeys(pool, timeout=5)
    return Bearer(keys, Tokens(keys, b"s" * 32, AUDIENCE, public_keys))


async def identify(bearer: Bearer, text: str) -> Caller:
    return await bearer.identify(text, address="", end_user=None, origin=None)


async def test_tokens_with_each_algorithm_are_accepted(pool: Any) -> None:
    async with raw_server(replies(KEYS)) as server, HTTPClient() as http:
        known = bearer(pool, fetched_keys(http, server))
        for kid, (key, algorithm) in SIGNED_BY.items():
            claims = {"creators": ["a"], "quota": {"per_day": 3}}
            assert await identify(known, token(kid, key, algorithm, **claims)) == Caller(
                identity="token",
                subject="jwks:ann",
                subject_quota=Quota(per_day=3),
                creators=("a",),
            )
        assert server.requests[0].startswith("GET /keys HTTP/1.1\r\n")
        assert len(server.requests) == 1


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_keys_and_algorithms_that_do_not_fit_are_refused(pool: Any) -> None:
    public = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    async with raw_server(replies(KEYS)) as server, HTTPClient() as http:
        known = bearer(pool, fetched_keys(http, server))
        for wrong in (
            # The public key as a shared secret.
            signed_with(public),
            token("secret", b"s" * 32, "HS256"),
            token("r", RSA, "RS512"),
            token("r", RSA, "PS256"),
            token("r", EC, "ES256"),
            token("e", RSA, "RS256"),
            token("weak", WEAK_RSA, "RS256"),
            token("encryption", RSA, "RS256"),
            token("other-algorithm", RSA, "RS512"),
            token("other-curve", OTHER_CURVE, "ES384"),
            token("r", rsa.generate_private_key(65537, 2048), "RS256"),
            token("r", RSA, "RS256", iss="https://other.example/"),
            token("r", RSA, "RS256", aud="other"),
            token("r", RSA, "RS256", exp=1),
            token("", RSA, "RS256"),
        ):
            with pytest.raises(Unauthenticated):
                await identify(known, wrong)
        assert len(server.requests) == 1


async def test_keys_are_kept_while_their_url_is_away(pool: Any) -> None:
    async with raw_server(replies(KEYS, times=1), hangs_up) as server, HTTPClient() as http:
        known = bearer(pool, fetched_keys(http, server, max_age=0, retry_after=0))
        await identify(known, token("r", RSA, "RS256"))
        assert (await identify(known, token("r", RSA, "RS256", sub="bob"))).subject == "jwks:bob"
        assert len(server.requests) > 1


@pytest.mark.parametrize("retry_after", [0, 30])
async def test_a_new_key_is_fetched_but_not_at_once_again(pool: Any, retry_after: float) -> None:
    old = reply({"keys": jwks()[:1]})
    async with raw_server(replies(old, times=1), replies(KEYS)) as server, HTTPClient() as http:
        known = bearer(pool, fetched_keys(http, server, retry_after=retry_after))
        await identify(known, token("r", RSA, "RS256"))
        if retry_after:
            with pytest.raises(Unauthenticated):
                await identify(known, token("e", EC, "ES256"))
        else:
            assert (await identify(known, token("e", EC, "ES256"))).subject == "jwks:ann"
        assert len(server.requests) == (1 if retry_after else 2)


BODIES: list[Any] = [[], {}, {"keys": 7}, {"keys": []}, {"keys": [1, {}]}]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        *(reply(body) for body in BODIES),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b" " * 2_000_000,
    ],
)
async def test_tokens_cannot_be_checked_without_any_keys(pool: Any, answer: bytes) -> None:
    async with raw_server(replies(answer)) as server, HTTPClient() as http:
        known = bearer(pool, fetched_keys(http, server))
        for _ in range(3):
            with pytest.raises(Unavailable):
                await identify(known, token("r", RSA, "RS256"))
        assert len(server.requests) == 1
