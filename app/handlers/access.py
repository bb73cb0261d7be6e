"""Admits requests: who sends them, whether they may, and how much they count."""

from msgspec import Struct
from starlette.requests import Request

from app.bootstrap import State
from app.errors import Forbidden, Unauthenticated
from app.handlers import browser_cookie
from app.services.access.authenticator import Credentials
from app.services.access.caller import Caller, Identity

# The ASGI extension that has the address of the connection's other end, whatever a proxy says.
PEER = "chrysopedia.peer"

_EVERYONE: tuple[Identity, ...] = (*("none", "browser", "publishable", "secret", "token", "proxy"),)
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


async def admit(request: Request[State], action: Action) -> Caller:
    """Return who sends a request, and count it.

    Raises Unauthenticated, Forbidden, NotFound and TooManyRequests.
    """
    caller = await _identify(request, action)
    await request.state["limiter"].admit(caller, action.cost)
    if caller.key_id:
        request.state["key_usage"].add(caller.key_id, questions=int(action is ASK))
    return caller


async def _identify(request: Request[State], action: Action) -> Caller:
    credentials, audit = _credentials(request, action), request.state["audit"]
    try:
        caller = await request.state["authenticator"].identify(credentials)
        if caller.identity not in action.allowed:
            raise Forbidden("A publishable key may not do that. Use a secret key on a server.")
        if action is SEARCH and caller.identity == "browser" and _is_guarded(request):
            raise Forbidden("Searching without an answer needs a secret key or a token.")
    except Unauthenticated as error:
        if error.invalid:
            audit.refused(credentials.address, error.detail, error.key_id)
        raise
    except Forbidden as error:
        audit.refused(credentials.address, error.detail)
        raise
    return caller


def _is_guarded(request: Request[State]) -> bool:
    return request.state["settings"].auth == "on"


def _credentials(request: Request[State], action: Action) -> Credentials:
    followed: str = request.path_params.get("turn_id", "") if action is FOLLOW else ""
    headers = request.headers
    scheme, _, value = headers.get("authorization", "").partition(" ")
    users = request.state["settings"].auth_subject_header
    return Credentials(
        address=request.client.host if request.client else "",
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
