"""Forged tokens, CORS, Host names, and what callers choose themselves: keys and ids."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from msgspec.structs import replace

from tests.keys import AUDIENCE, SITE, MadeKey, bearer, make_key
from tests.raw_server import raw_server, replies
from tests.security.callers import CONVERSATIONS, QUESTION, RESTRICTED_TO, ask
from tests.security.conftest import Site
from tests.service import CHAT, running

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example/"
PRIVATE = rsa.generate_private_key(65537, 2048)
OTHER_PRIVATE = rsa.generate_private_key(65537, 2048)
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
JWKS = json.dumps(
    {"keys": [RSAAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True) | {"kid": "public"}]}
).encode()
MINUTE = 60

Claims = dict[str, Any]


@pytest.fixture(scope="module")
async def key(guarded: Site) -> MadeKey:
    """A secret key."""
    return await make_key(guarded.settings.database_url, "signing")


def encoded(part: Claims | bytes) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def hs256(header: Claims, claims: Claims, secret: bytes) -> str:
    """Sign without PyJWT, which refuses a public key as a secret."""
    signed = f"{encoded(header | {'alg': 'HS256'})}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def tokens(key: MadeKey) -> dict[str, tuple[str, int]]:
    """Return a token of each kind, and the status of a question with it."""
    claims, kid = key.claims(), {"kid": key.id}
    now, secret = int(time.time()), key.signing_secret.encode()
    theirs = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": now + MINUTE}
    public = {"kid": "public"}
    valid = key.token()
    head, payload, signature = valid.split(".")
    return {
        "valid, of a key": (valid, 200),
        "valid, of the issuer": (jwt.encode(theirs, PRIVATE, "RS256", headers=public), 200),
        "signature removed": (f"{head}.{payload}.", 401),
        "payload of another user": (f"{head}.{encoded(key.claims('bob'))}.{signature}", 401),
        "alg none": (jwt.encode(claims, "", "none", headers=kid), 401),
        "alg none with a signature": (
            f"{encoded(kid | {'alg': 'none'})}.{payload}.{signature}",
            401,
        ),
        "HS256 with the public key": (hs256(public, theirs, PEM), 401),
        "HS256 with an empty secret": (hs256(kid, claims, b""), 401),
        "HS256 with the text of the key": (hs256(kid, claims, key.text.encode()), 401),
        "HS512": (jwt.encode(claims, key.signing_secret, "HS512", headers=kid), 401),
        "the issuer's kid and the key's secret": (hs256(public, claims, secret), 401),
        "the key's kid and the issuer's signature": (
            jwt.encode(claims, PRIVATE, "RS256", headers=kid),
            401,
        ),
        "another private key": (jwt.encode(theirs, OTHER_PRIVATE, "RS256", headers=public), 401),
        "no kid": (hs256({}, claims, secret), 401),
        "kid of a path": (hs256({"kid": "../../dev/null"}, claims, secret), 401),
        "jku": (hs256(kid | {"jku": "https://evil.example/"}, claims, secret), 401),
        "crit": (hs256(kid | {"crit": ["exp"]}, claims, secret), 401),
        "expired": (key.token(exp=now - MINUTE * 2), 401),
        "not yet valid": (key.token(nbf=now + MINUTE * 2), 401),
        "valid for an hour": (key.token(exp=now + 60 * MINUTE), 401),
        "another audience": (key.token(aud="other"), 401),
        "another issuer": (key.token(iss=ISSUER), 401),
        "the issuer's key, another iss": (
            jwt.encode(theirs | {"iss": key.id}, PRIVATE, "RS256", headers=public),
            401,
        ),
        "no exp": (key.token(exp=None), 401),
        "no aud": (key.token(aud=None), 401),
        "no iss": (key.token(iss=None), 401),
        "no sub": (hs256(kid, {k: v for k, v in claims.items() if k != "sub"}, secret), 401),
        "sub of a key": (key.token(f"x\0key:{key.id}"), 401),
        "over 8 KB": (key.token(padding="x" * 8_192), 401),
    }


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_only_valid_tokens_are_accepted(guarded: Site, key: MadeKey) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(JWKS), JWKS)
    async with raw_server(replies(reply)) as server:
        settings = replace(
            guarded.settings,
            auth_jwks_url=f"http://127.0.0.1:{server.port}/keys",
            auth_issuer=ISSUER,
        )
        async with running(settings) as worker:
            for name, (token, expected) in tokens(key).items():
                status, problem, headers = await worker.call(
                    "POST", CHAT, json={"query": "Hello!"}, headers=bearer(token)
                )
                assert status == expected, name
                assert "RateLimit" in headers, name
                if status == 401:
                    assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
                    assert token not in str(problem), name


async def test_callers_of_one_name_have_idempotency_keys_of_their_own(guarded: Site) -> None:
    names = ("own", "same key, other user", "other key, same user", "restricted key", "page")
    fields = {"Idempotency-Key": "1"}
    turns = {}
    for caller in names:
        headers = {**guarded.callers[caller], **fields}
        # Nobody gets another one's stream, nor a 409 or a 422 because of it.
        turns[caller] = {(await ask(worker, headers)).turn for worker in guarded.workers}
        other = {"query": f"Hello, {caller}!"}
        for worker in guarded.workers:
            status, _, _ = await worker.call("POST", CHAT, json=other, headers=headers)
            assert status == 422
    assert [len(own) for own in turns.values()] == [1] * len(names)
    assert len(set.union(*turns.values())) == len(names)


async def test_callers_may_choose_the_same_conversation_id(guarded: Site) -> None:
    names = ("own", "same key, other user", "other key, same user", "page")
    for number, caller in enumerate(names):
        for worker in guarded.workers[: 1 + number % 2]:
            made = await ask(worker, guarded.callers[caller], conversation_id="1")
            assert made.conversation == "1"
    for worker in guarded.workers:
        for number, caller in enumerate(names):
            headers = guarded.callers[caller]
            status, body, _ = await worker.call("GET", f"{CONVERSATIONS}/1", headers=headers)
            assert (status, len(body["turns"])) == (200, 1 + number % 2), caller
    await guarded.workers[0].call("DELETE", f"{CONVERSATIONS}/1", headers=guarded.callers["own"])
    for caller, expected in ("own", 404), ("page", 200), ("other key, same user", 200):
        headers = guarded.callers[caller]
        status, _, _ = await guarded.workers[1].call("GET", f"{CONVERSATIONS}/1", headers=headers)
        assert status == expected, caller


async def test_visitors_of_a_publishable_key_continue_only_ids_of_the_service(
    guarded: Site,
) -> None:
    headers = guarded.callers["publishable key"]
    one, other = guarded.workers
    made = await ask(one, headers, conversation_id="1")
    assert made.conversation != "1"
    again = await ask(other, headers, conversation_id=made.conversation)
    assert again.conversation == made.conversation
    short = {**headers, "Idempotency-Key": "1"}
    assert (await one.call("POST", CHAT, json=QUESTION, headers=short))[0] == 400


async def test_a_restricted_key_reads_its_creators_only(guarded: Site) -> None:
    headers = guarded.callers["restricted key"]
    for worker in guarded.workers:
        _, creators, _ = await worker.call("GET", "/api/v1/creators", headers=headers)
        assert [creator["slug"] for creator in creators] == [RESTRICTED_TO]
        for path in ("", "&creator=mara-voss", f"&creator={RESTRICTED_TO}"):
            _, found, _ = await worker.call(
                "GET", f"/api/v1/search?q={QUESTION['query']}{path}", headers=headers
            )
            assert {each["creator"]["slug"] for each in found["citations"]} <= {RESTRICTED_TO}
        async with worker.stream(QUESTION | {"creator": "mara-voss"}, headers) as stream:
            sources = (await stream.until("sources"))[-1].data
        assert {each["creator"]["slug"] for each in sources} <= {RESTRICTED_TO}


@pytest.mark.parametrize(
    ("caller", "origin", "status", "readable"),
    [
        ("publishable key", SITE, 200, True),
        ("publishable key", "https://other.example", 403, False),
        ("publishable key", "null", 403, False),
        ("own", SITE, 200, True),
        ("own", "https://other.example", 200, False),
        ("own, by token", SITE, 200, True),
        ("own, by token", "https://other.example", 200, False),
        ("wrong key", SITE, 401, True),
        ("nobody", SITE, 401, True),
        ("nobody", "https://other.example", 401, False),
        ("cross-site cookie", SITE, 401, True),
    ],
)
async def test_pages_on_origins_of_keys_may_read_replies(
    guarded: Site, caller: str, origin: str, status: int, readable: bool
) -> None:
    headers = {**guarded.callers[caller], "Origin": origin}
    for worker in guarded.workers:
        got, _, reply = await worker.call("POST", CHAT, json={"query": "Hello!"}, headers=headers)
        assert got == status
        assert reply.get("Access-Control-Allow-Origin") == (origin if readable else None)
        assert reply["Vary"] == "Origin"
        # So a cookie of the page is never sent from another site.
        assert "Access-Control-Allow-Credentials" not in reply


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
    ],
)
async def test_credentials_do_not_help_under_another_host_name(
    guarded: Site, host: str, status: int
) -> None:
    for caller in ("own", "page"):
        headers = {**guarded.callers[caller], "Host": host}
        got, _, reply = await guarded.workers[0].call(
            "POST", CHAT, json={"query": "Hello!"}, headers=headers
        )
        assert got == status, caller
        assert "Set-Cookie" not in reply
