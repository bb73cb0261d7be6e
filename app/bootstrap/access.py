"""Build what identifies callers."""

from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.access.active_keys import ActiveKeys
from app.services.access.authenticator import Authenticator
from app.services.access.bearer import Bearer
from app.services.access.browsers import Browsers
from app.services.access.proxy_users import ProxyUsers
from app.services.access.tickets import Tickets
from app.services.access.tokens import PublicKeys, Tokens


def build_authenticator(
    settings: Settings,
    http: HTTPClient,
    keys: ActiveKeys,
    secret: bytes,
    browsers: Browsers | None,
    tickets: Tickets,
) -> Authenticator:
    """Build the configured authenticator; `secret` is the database's."""
    if settings.auth != "on":
        return Authenticator(tickets, browsers)
    public_keys: PublicKeys | None = None
    if settings.auth_jwks_url:
        # Needs the extra `jwks`.
        from app.services.access.jwks import FetchedKeys

        public_keys = FetchedKeys(http, settings.auth_jwks_url, settings.auth_issuer)
    tokens = Tokens(keys, secret, settings.auth_audience, public_keys)
    networks = settings.trusted_networks if settings.auth_subject_header else []
    proxy_users = ProxyUsers(networks) if networks else None
    return Authenticator(tickets, browsers, Bearer(keys, tokens), proxy_users)
