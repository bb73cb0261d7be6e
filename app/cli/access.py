"""Check who may use the service before it starts."""

import logging

from app.cli.errors import CommandError
from app.config import Settings
from app.host_names import is_loopback
from app.services.access.audit import AuditLog

log = logging.getLogger(__name__)


def check_access(settings: Settings) -> None:
    """Warn of an open service; raises SettingsError and CommandError."""
    settings.require_auth_choice()
    if settings.auth == "off" and not is_loopback(settings.host):
        log.warning(
            "AUTH=off: everyone who can reach %s may ask questions and search the library; set"
            " AUTH=on to require keys (docs/access.md)",
            settings.host,
        )
    if settings.auth_jwks_url:
        from jwt.algorithms import has_crypto

        if not has_crypto:
            raise CommandError(
                "AUTH_JWKS_URL: install its extra: pip install 'chrysopedia-chat[jwks]'"
            )
    try:
        AuditLog(settings.audit_log).check()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"AUDIT_LOG: cannot write {settings.audit_log}: {reason}") from None
