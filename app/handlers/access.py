"""Admits requests: who sends them, whether they may, and how much they count."""

from msgspec import Struct
from starlette.requests import Request

from app.bootstrap import State
from app.errors import Forbidden
from app.handlers import browser_cookie
from app.services.access.authenticator import Credentials
from app.services.access.caller import Caller, Identity

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
    caller = await request.state["authenticator"].identify(_credentials(request, action))
    if caller.identity not in action.allowed:
        raise Forbidden("This key may not do that.")
    await request.state["limiter"].admit(caller, action.cost)
    return caller


def _credentials(request: Request[State], action: Action) -> Credentials:
    followed: str = request.path_params.get("turn_id", "") if action is FOLLOW else ""
    return Credentials(
        address=request.client.host if request.client else "",
        cookie=browser_cookie.read(request),
        ticket=request.query_params.get("ticket", "") if followed else "",
        turn_id=followed,
    )
