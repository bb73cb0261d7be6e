"""A check that raises is a failed row, and the other checks are made."""

import asyncpg
import pytest

from app.cli.doctor import guard
from tests.cli.doctor.findings import FAILED, new_report, row


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (TimeoutError(), "no answer in time"),
        (asyncpg.InsufficientPrivilegeError("denied"), "InsufficientPrivilegeError: denied"),
        (RuntimeError("secret"), "the check itself failed: RuntimeError"),
    ],
)
def test_an_exception_is_a_failed_row(error: Exception, finding: str) -> None:
    report = new_report()
    with guard(report, "Redis"):
        raise error
    assert row(report, "Redis").status is FAILED
    assert row(report, "Redis").finding == finding
