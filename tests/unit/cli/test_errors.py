from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import OperationalError, ProgrammingError

from callboard.errors import (
    ArgumentsError,
    CallboardError,
    DeclarationError,
    DuplicateRun,
    LedgerUnavailable,
    NotFound,
    ReplayRefused,
)
from callboard.exits import Exit
from callboard.settings import Settings, get_settings
from cli._errors import explain
from cli._problems import problems, unknown, variables


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_LOG_LEVEL", raising=False)
    get_settings.cache_clear()


class _Undefined(psycopg.errors.UndefinedTable):
    pass


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DuplicateRun("a", UUID(int=7)), Exit.DUPLICATE, "00000000-0000-0000-0000-000000000007"),
        (NotFound("no such run"), Exit.NOT_FOUND, "no such run"),
        (ArgumentsError("takes no x"), Exit.USAGE, "takes no x"),
        (LedgerUnavailable("away"), Exit.SERVER_AWAY, "away"),
        (ReplayRefused("was replayed"), Exit.FAILED, "was replayed"),
        (DeclarationError("bad cadence"), Exit.FAILED, "bad cadence"),
        (CallboardError("any"), Exit.FAILED, "any"),
        (LookupError("No database: set it."), Exit.SERVER_AWAY, "No database: set it."),
        (OperationalError("s", {}, Exception("refused\nand more")), Exit.SERVER_AWAY, "(refused)"),
        (psycopg.OperationalError("closed\nunexpectedly"), Exit.SERVER_AWAY, "(closed)"),
        (ProgrammingError("s", {}, _Undefined("no table")), Exit.FAILED, "run `callboard migrate`"),
        (
            ProgrammingError("s", {}, Exception("syntax error\nLINE 1")),
            Exit.FAILED,
            "refused a statement: syntax error",
        ),
        (redis.ConnectionError("Error 111"), Exit.SERVER_AWAY, "CALLBOARD_BROKER_URL"),
        (ConnectionClosed("gone"), Exit.SERVER_AWAY, "the broker cannot be reached"),
        (PermissionError(13, "Permission denied", "/root/x"), Exit.FAILED, "Permission denied: /root/x"),
        (OSError(98, "port 1 is taken"), Exit.FAILED, "port 1 is taken"),
        (ZeroDivisionError("division by zero"), Exit.FAILED, "CALLBOARD_LOG_LEVEL=debug shows where"),
    ],
)
def test_every_error_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: Exit, words: str
) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "redis://h")
    line, given = explain(error)
    assert given is code
    assert words in line
    assert "\n" not in line


def test_passwords_are_taken_out() -> None:
    line, _ = explain(NotFound("nothing at postgresql://anna:hunter2@db:5432/x"))
    assert "hunter2" not in line
    assert "db:5432/x" in line


def test_an_unexpected_error_shows_its_traceback_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_LOG_LEVEL", "debug")
    with pytest.raises(ZeroDivisionError):
        explain(ZeroDivisionError("x"))


class ShopSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CALLBOARD_SHOP_")
    api_key: int = Field(1, description="A key.")
    limit: int = Field(5, ge=1)


def test_settings_that_do_not_fit_are_told_by_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SHOP_LIMIT", "0")
    monkeypatch.setenv("CALLBOARD_SHOP_API_KEY", "s3cret")
    with pytest.raises(ValidationError) as caught:
        ShopSettings()
    by_variable = {problem.variable: problem for problem in problems(caught.value)}
    assert by_variable["CALLBOARD_SHOP_LIMIT"].what == "CALLBOARD_SHOP_LIMIT=0 does not fit"
    assert by_variable["CALLBOARD_SHOP_LIMIT"].mend == "input should be greater than or equal to 1."
    assert "s3cret" not in by_variable["CALLBOARD_SHOP_API_KEY"].what
    line, code = explain(caught.value)
    assert code is Exit.USAGE
    assert "(1 more: `callboard check` lists them)" in line


def test_variables_that_nothing_reads_name_the_one_that_was_meant() -> None:
    environment = {"CALLBOARD_WORKER_THREDS": "4", "CALLBOARD_QQQQQQQQQQQ": "", "PATH": "/bin", "callboard_home": "x"}
    found = {problem.variable: problem.mend for problem in unknown(environment, variables(Settings))}
    assert found["CALLBOARD_WORKER_THREDS"] == "did you mean CALLBOARD_WORKER_THREADS?"
    assert "docs/reference/settings.md" in found["CALLBOARD_QQQQQQQQQQQ"]
    assert set(found) == {"CALLBOARD_WORKER_THREDS", "CALLBOARD_QQQQQQQQQQQ"}
