"""Every error that may reach the user, as one line and an exit code."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import psycopg
import redis
from dramatiq.errors import BrokerConnectionError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from callboard.errors import (
    ArgumentsError,
    CallboardError,
    DuplicateRun,
    FilterError,
    Invalid,
    LedgerUnavailable,
    NotFound,
    Unsupported,
)
from callboard.exits import Exit
from callboard.settings import get_settings
from cli._problems import problems
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

_UNDEFINED = ("42P01", "3F000", "42703")  # undefined table, schema, column
_PASSWORD = re.compile(r"://([^:/@\s]*):[^@\s]*@")


def explain(error: Exception) -> tuple[str, Exit]:
    """What to print for an error, secrets taken out, and the exit code.

    An error that nobody expected shows its traceback when CALLBOARD_LOG_LEVEL is debug.
    """
    for kinds, say, code in _RULES:
        if isinstance(error, kinds):
            return _one_line(say(error)), code
    if os.environ.get("CALLBOARD_LOG_LEVEL", "").lower() == "debug":
        raise error
    line = f"{type(error).__name__}: {error} (a fault of ours; CALLBOARD_LOG_LEVEL=debug shows where)"
    return _one_line(line), Exit.FAILED


def _one_line(text: str) -> str:
    return redact_text(_PASSWORD.sub(r"://\1:…@", " ".join(text.split())))


def _plainly(error: Exception) -> str:
    return str(error)


def _system(error: Exception) -> str:
    """Without the number that str() of an OSError begins with."""
    reason, name = getattr(error, "strerror", None), getattr(error, "filename", None)
    return f"{reason}: {name}" if reason and name else str(reason or error)


def _first_argument(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)  # str() of a LookupError may add quotes


def _settings(error: Exception) -> str:
    assert isinstance(error, ValidationError)  # noqa: S101 - for the type checker
    found = problems(error)
    more = f" ({len(found) - 1} more: `callboard check` lists them)" if len(found) > 1 else ""
    return f"{found[0].what}: {found[0].mend}{more}"


def _postgres_away(error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    where = "CALLBOARD_DATABASE_URL" if get_settings().database_url else "the embedded Postgres"
    return (
        f"Postgres cannot be reached ({reason}): see that it runs and that {where} is right; `callboard check` tells."
    )


def _broker_away(error: Exception) -> str:
    where = "CALLBOARD_BROKER_URL" if get_settings().broker_url else "the embedded Valkey"
    return (
        f"the broker cannot be reached ({error}): see that it runs and that {where} is right; `callboard check` tells."
    )


def _statement(error: Exception) -> str:
    original = getattr(error, "orig", None)
    if getattr(original, "sqlstate", None) in _UNDEFINED:
        return "the database lacks a table of this version: run `callboard migrate`."
    return f"Postgres refused a statement: {str(original).strip().splitlines()[0]}"


_Rule = tuple[tuple[type[Exception], ...], "Callable[[Exception], str]", Exit]
_RULES: tuple[_Rule, ...] = (
    ((DuplicateRun,), _plainly, Exit.DUPLICATE),
    ((NotFound,), _plainly, Exit.NOT_FOUND),
    ((ArgumentsError, FilterError, Invalid, Unsupported), _plainly, Exit.USAGE),
    ((ValidationError,), _settings, Exit.USAGE),
    ((LedgerUnavailable,), _plainly, Exit.SERVER_AWAY),
    ((CallboardError,), _plainly, Exit.FAILED),
    ((OperationalError, InterfaceError, PoolTimeoutError, psycopg.Error), _postgres_away, Exit.SERVER_AWAY),
    ((redis.RedisError, BrokerConnectionError), _broker_away, Exit.SERVER_AWAY),
    ((ProgrammingError, DBAPIError), _statement, Exit.FAILED),
    ((LookupError,), _first_argument, Exit.SERVER_AWAY),
    ((OSError,), _system, Exit.FAILED),
)
