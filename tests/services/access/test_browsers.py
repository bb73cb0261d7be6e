"""The values of the page's cookie."""

import pytest

from app.services.access.browsers import DAY, LIFETIME, Browsers
from app.services.access.signing import Signer

SECRET = b"0123456789abcdef0123456789abcdef"
BROWSERS = Browsers(SECRET)


def signed(purpose: str = "browser", secret: bytes = SECRET, lifetime: float = LIFETIME) -> str:
    return Signer(secret, purpose).sign({"sub": "browser:1"}, lifetime=lifetime)


def test_a_new_browser_gets_a_subject_of_its_own() -> None:
    subjects = {BROWSERS.subject(BROWSERS.renewed("")) for _ in range(2)}
    assert len(subjects) == 2
    for subject in subjects:
        assert subject.startswith("browser:")
        assert len(subject) == len("browser:") + 32


def test_a_valid_cookie_is_kept_for_a_month_and_then_renewed() -> None:
    recent, old = signed(lifetime=LIFETIME - 29 * DAY), signed(lifetime=LIFETIME - 31 * DAY)
    assert BROWSERS.renewed(recent) == ""
    renewed = BROWSERS.renewed(old)
    assert renewed != old
    assert BROWSERS.subject(renewed) == "browser:1"
    assert BROWSERS.renewed(renewed) == ""


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param("", id="none"),
        pytest.param("browser:1", id="unsigned"),
        pytest.param(signed(purpose="link"), id="signed for another purpose"),
        pytest.param(signed(secret=SECRET[::-1]), id="signed with another secret"),
        pytest.param(signed(lifetime=-1), id="expired"),
        pytest.param(signed()[:-4] + "AAAA", id="changed"),
    ],
)
def test_an_invalid_cookie_is_replaced(cookie: str) -> None:
    assert BROWSERS.subject(cookie) == ""
    assert BROWSERS.subject(BROWSERS.renewed(cookie)) not in ("", "browser:1")
