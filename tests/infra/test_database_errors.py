"""An error of the database is one line of bounded length that has no values."""

import asyncpg
import pytest

from app.infra.database_errors import MAX_LENGTH, describe


def postgres_error(sqlstate: str, message: str, **fields: str) -> Exception:
    error: Exception = asyncpg.PostgresError.new(
        {"S": "ERROR", "C": sqlstate, "M": message, **fields}, query="SELECT 'secret'"
    )
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            postgres_error("42P01", 'relation "passages" does not exist'),
            'UndefinedTableError: relation "passages" does not exist',
        ),
        (
            postgres_error("23505", "duplicate key", D="Key (name)=(secret) exists.", H="Hint"),
            "UniqueViolationError: duplicate key",
        ),
        (postgres_error("22P02", "invalid input: secret"), "InvalidTextRepresentationError"),
        (postgres_error("P0001", "no secret\nhere"), "RaiseError"),
        (
            postgres_error("42P05", "two\nlines", H="\nNOTE: pgbouncer\n…"),
            "DuplicatePreparedStatementError: two lines",
        ),
        (asyncpg.InterfaceError("pool is\nclosing"), "InterfaceError: pool is closing"),
        (TimeoutError(), "no answer in time"),
        (ConnectionRefusedError(111, "Refused"), "connection refused"),
    ],
)
def test_an_error_is_one_line_without_values(error: Exception, expected: str) -> None:
    assert describe(error) == expected


def test_a_long_message_is_shortened() -> None:
    line = describe(asyncpg.InterfaceError("x" * 10_000))
    assert line.endswith("x…")
    assert len(line) <= MAX_LENGTH + len("InterfaceError: ")


@pytest.mark.anyio
async def test_the_message_about_a_wrong_argument_is_not_repeated(
    database: asyncpg.Connection,
) -> None:
    with pytest.raises(asyncpg.DataError) as raised:
        await database.fetch("SELECT $1::integer", "secret")
    assert describe(raised.value) == "DataError"
