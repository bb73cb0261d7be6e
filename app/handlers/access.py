"""Admits requests: who sends them, whether they may, and how much they count."""

from collections.abc import Sequence

from msgspec import Struct
from starlette.requests import Request

from app.bootstrap import State
from app.errors import Forbidden, NotFound, Unauthenticated
from app.handlers import browser_cookie
from app.services.access.authenticator import Credentials
from app.services.access.caller import Caller, Identity
from app.services.access.standing import Standing

# The ASGI extension that has the address of the connection's other end, whatever a proxy says.
PEER = "chrysopedia.peer"

_EVERYONE: tuple[Identity, ...] = ("none", "browser", "publishable", "secret", "token", "proxy")
_NOT_PUBLISHABLE = tuple(each for each in _EVERYONE if each != "publishable")


class Action(Struct, frozen=True):
    """Something that callers do: what it costs, in questions, and who may do it."""

    cost: float
    allowed: tuple[Identity, ...] = _EVERYONE


ASK = Action(1)
FOLLOW = Action(0.1, (*_EVERYONE, "link"))
STOP = Action(0.1)
READ_CONVERSATION = Action(0.1)
FORGET = Action(0.1)
LIST_CREATORS = Action(0.1, _NOT_PUBLISHABLE)
SEARCH = Action(0.5, _NOT_PUBLISHABLE)
# A request that is refused because of its credentials or its content.
REFUSED = Action(1)

# Where `RequestContext` finds headers to add to the response.
HEADERS = "limit_headers"
_UNITS = {"running": "concurrent-requests", "tokens": "tokens"}


async def admit(request: Request[State], action: Action) -> Caller:
    """Return who sends a request, and count it.

    Raises Unauthenticated, Forbidden, NotFound and TooManyRequests.
    """
    caller = await identify(request, action)
    await count(request, caller, action)
    return caller


async def identify(request: Request[State], action: Action) -> Caller:
    """Return who sends a request, which is still to be counted.

    Raises Unauthenticated, Forbidden and NotFound, or TooManyRequests after many of these.
    """
    address, audit = request.client.host if request.client else "", request.state["audit"]
    try:
        credentials = _credentials(request, action, address)
        caller = await request.state["authenticator"].identify(credentials)
    except Unauthenticated as error:
        if error.invalid:
            audit.refused(address, error.detail, error.key_id)
            await count(request, Caller(address), REFUSED)
        raise
    except (Forbidden, NotFound) as error:
        audit.refused(address, error.detail)
        await count(request, Caller(address), REFUSED)
        raise
    if caller.identity not in action.allowed or (
        # With access control, the page's cookie does not allow searches.
        action is SEARCH and caller.identity == "browser" and request.state["settings"].auth == "on"
    ):
        reason = "Only a secret key, a token or a proxy's user may do that."
        audit.refused(address, reason, caller.key_id)
        await count(request, caller, REFUSED)
        raise Forbidden(reason)
    return caller


async def count(request: Request[State], caller: Caller, action: Action, turn_id: str = "") -> None:
    """Count a request, and the turn that it starts; raises TooManyRequests."""
    admission = await request.state["limiter"].admit(caller, action.cost, turn_id)
    request.scope[HEADERS] = _headers(admission.standings)
    if admission.error:
        refusals = request.state["metrics"].limit_refusals
        refusals.labels(admission.error.limit, admission.holder).inc()
        raise admission.error
    if caller.key_id:
        request.state["key_usage"].add(caller.key_id, questions=int(action is ASK))


def _credentials(request: Request[State], action: Action, address: str) -> Credentials:
    followed: str = request.path_params.get("turn_id", "") if action is FOLLOW else ""
    headers = request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    users = request.state["settings"].auth_subject_header
    return Credentials(
        address=address,
        # Other schemes are a proxy's.
        bearer=value.strip() if scheme.lower() == "bearer" else None,
        end_user=headers.get("x-subject"),
        origin=headers.get("origin"),
        peer=request.scope.get("extensions", {}).get(PEER, {}).get("address", ""),
        proxy_users=tuple(headers.getlist(users)) if users else (),
        cookie=browser_cookie.read(request),
        ticket=request.query_params.get("ticket", "") if followed else "",
        turn_id=followed,
    )


def _headers(standings: Sequence[Standing]) -> list[tuple[bytes, bytes]]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-10."""
    if not standings:
        return []
    policies, remaining = [], []
    for it in standings:
        unit = f';qu="{_UNITS[it.policy]}"' if it.policy in _UNITS else ""
        window = f";w={it.window}" if it.window else ""
        reset = "" if it.reset is None else f";t={it.reset}"
        policies.append(f'"{it.policy}";q={it.limit}{unit}{window}')
        remaining.append(f'"{it.policy}";r={it.remaining}{reset}')
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(remaining).encode()),
    ]
