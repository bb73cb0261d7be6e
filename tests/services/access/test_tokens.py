"""Tokens signed with a key's signing secret."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import jwt
import pytest

from app.errors import Forbidden, Unauthenticated
from app.services.access.active_keys import ActiveKeys
from app.services.access.bearer import Bearer
from app.services.access.caller import Caller, Quota
from app.services.access.signing import load_secret
from app.services.access.tokens import REMEMBERED, Tokens
from tests.keys import AUDIENCE, SITE, MadeKey, make_key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bearer(anyio_backend: object, database_url: str) -> AsyncIterator[Bearer]:
    """What identifies callers by the keys of the test's database."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        keys = ActiveKeys(pool, timeout=5)
        yield Bearer(keys, Tokens(keys, await load_secret(pool), AUDIENCE))


@pytest.fixture
async def key(database_url: str) -> MadeKey:
    return await make_key(
        database_url,
        origins=(SITE,),
        creators=("ann", "bob"),
        quota=Quota(per_minute=10, at_once=2),
    )


async def identify(bearer: Bearer, text: str, origin: str | None = None) -> Caller:
    return await bearer.identify(text, address="1.2.3.4", end_user=None, origin=origin)


async def refusal(bearer: Bearer, text: str) -> str:
    """Return why a token is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await identify(bearer, text)
    assert refused.value.invalid
    assert text not in refused.value.detail
    return refused.value.detail


async def test_a_token_names_a_subject_within_the_limits_of_its_key(
    bearer: Bearer, key: MadeKey
) -> None:
    plain = Caller(
        address="1.2.3.4",
        identity="token",
        subject=f"key:{key.id}:ann",
        key_id=key.id,
        quota=Quota(per_minute=10, at_once=2),
        subject_quota=Quota(per_minute=10, at_once=2),
        creators=("ann", "bob"),
    )
    assert await identify(bearer, key.token()) == plain
    narrow = await identify(
        bearer,
        key.token(creators=["bob", "cleo"], quota={"per_minute": 99, "at_once": 1, "per_day": 5}),
    )
    assert narrow.creators == ("bob",)
    assert narrow.quota == plain.quota
    assert narrow.subject_quota == Quota(per_minute=10, at_once=1, per_day=5)
    assert (await identify(bearer, key.token(creators=[]))).creators == ()


async def test_valid_tokens_are_accepted_again_however_many_there_are(
    bearer: Bearer, key: MadeKey
) -> None:
    tokens = [key.token(f"user-{number}") for number in range(REMEMBERED + 1)]
    for token in (tokens[0], tokens[0], *tokens, tokens[0]):
        assert (await identify(bearer, token)).subject
    # Valid for a moment longer because clocks may differ, which it is checked for each time.
    ended = key.token(exp=int(time.time()) - 1)
    for _ in range(2):
        assert (await identify(bearer, ended)).subject


async def test_a_token_in_a_browser_is_bound_to_the_origins_of_its_key(
    bearer: Bearer, key: MadeKey, database_url: str
) -> None:
    unbound = await make_key(database_url, "unbound")
    assert (await identify(bearer, key.token(), SITE)).subject
    with pytest.raises(Forbidden):
        await identify(bearer, key.token(), "https://other.example")
    assert (await identify(bearer, unbound.token(), "https://other.example")).subject


CREATORS: list[Any] = ["ann", [1], {}, ["a"] * 1001]
QUOTAS: list[Any] = [[], {"per_minute": 0}, {"per_hour": 1}, {"per_day": "1"}]
ALGORITHMS: list[Any] = ["none", "None", "hs256", "RS256", "", 7, None, {}]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "`exp`"),
        ({"exp": "never"}, ""),
        ({"exp": 1e400}, ""),
        ({"exp": 4_000_000_000}, "15 minutes"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000}, "not valid yet"),
        ({"aud": "other"}, f"`aud` must be `{AUDIENCE}`"),
        ({"aud": None}, "`aud`"),
        ({"iss": "other"}, "`iss` must be"),
        ({"iss": None}, "`iss`"),
        ({"sub": None}, "`sub`"),
        *(({"sub": sub}, "`sub`") for sub in ("", "x" * 201, "a\nb", " a", "ü", 7)),
        *(({"creators": value}, "`creators`") for value in CREATORS),
        *(({"quota": value}, "`quota`") for value in QUOTAS),
    ],
)
async def test_a_token_with_wrong_claims_is_refused_with_the_reason(
    bearer: Bearer, key: MadeKey, claims: dict[str, Any], reason: str
) -> None:
    assert reason in await refusal(bearer, key.token(**claims))


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


async def test_only_the_algorithm_of_the_key_is_accepted(bearer: Bearer, key: MadeKey) -> None:
    claims, headers = key.claims(), {"kid": key.id}
    longer = jwt.encode(claims, key.signing_secret, "HS512", headers=headers)
    unsigned = jwt.encode(claims, "", "none", headers=headers)
    # PyJWT writes no signature; other libraries may write any.
    for token in (longer, unsigned, f"{unsigned}AA"):
        await refusal(bearer, token)
    for algorithm in ALGORITHMS:
        head = encoded({"alg": algorithm, "kid": key.id})
        signature = key.token().rpartition(".")[2]
        await refusal(bearer, f"{head}.{encoded(claims)}.{signature}")


@pytest.mark.parametrize(
    "parameters",
    [
        *({name: "https://evil.example/keys"} for name in ("jku", "x5u")),
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"]},
        {"zip": "DEF"},
        {"b64": False},
    ],
)
async def test_header_parameters_that_change_the_check_are_refused(
    bearer: Bearer, key: MadeKey, parameters: dict[str, Any]
) -> None:
    token = jwt.encode(
        key.claims(), key.signing_secret, "HS256", headers={"kid": key.id, **parameters}
    )
    await refusal(bearer, token)


async def test_a_token_needs_the_id_of_the_key_that_signs_it(
    bearer: Bearer, key: MadeKey, database_url: str
) -> None:
    other = await make_key(database_url, "other")
    public = await make_key(database_url, "public", kind="publishable", origins=(SITE,))
    claims = key.claims()
    for kid in (other.id, public.id, "0" * 12, "", "../../etc/passwd", "' OR 1=1"):
        await refusal(bearer, jwt.encode(claims, key.signing_secret, headers={"kid": kid}))
    await refusal(bearer, jwt.encode(claims, key.signing_secret))
    # A publishable key signs nothing.
    await refusal(bearer, public.token())


async def test_malformed_and_oversized_tokens_are_refused_quickly(
    bearer: Bearer, key: MadeKey
) -> None:
    valid = key.token()
    head, payload, signature = valid.split(".")
    deep = encoded(b"[" * 6_000)
    for token in (
        *(f"{head}.{payload}.", f".{payload}.{signature}", f"{head}.{payload}.{signature}="),
        *(f"{deep}.{payload}.{signature}", f"{head}.{deep}.{signature}", "..", "a.b.c", "ü.b.c"),
        *(f"{encoded([])}.b.c", f"{encoded(b'{')}.b.c", f"{encoded({'kid': 7})}.b.c"),
        f"{head}.{encoded(key.claims('bob'))}.{signature}",
        key.token(padding="x" * 8_192),
    ):
        await refusal(bearer, token)
    started = time.process_time()
    for _ in range(10):
        await identify(bearer, valid)
    once = (time.process_time() - started) / 10
    started = time.process_time()
    await refusal(bearer, "a" * 1_000_000 + ".b.c")
    assert time.process_time() - started < 100 * once
