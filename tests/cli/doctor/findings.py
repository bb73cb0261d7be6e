"""Read a report in tests."""

import io

from app.cli.doctor.report import Report, Row, Status

OK, WARNING, FAILED, SKIPPED = Status


def new_report() -> Report:
    """Return a report that prints nowhere."""
    return Report(io.StringIO())


def statuses(report: Report) -> dict[str, Status]:
    """Return the status of each check."""
    return {row.check: row.status for row in report.rows}


def row(report: Report, check: str) -> Row:
    """Return the only row of a check; whatever is wrong says what to do."""
    (found,) = (one for one in report.rows if one.check == check)
    assert found.advice or found.status in (OK, SKIPPED)
    return found
