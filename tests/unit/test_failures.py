"""How an exception gets its kind."""

from __future__ import annotations

import json
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import tarfile
import urllib.error
from email.message import Message
from uuid import uuid4

import httpx
import psycopg
import pydantic
import pytest
import redis.exceptions as redis
import sqlalchemy.exc as sa
from dramatiq import errors as dramatiq
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from callboard import errors
from callboard.failures import (
    AUTHENTICATION,
    MANUAL_REVIEW,
    NON_RECOVERABLE,
    POISON,
    TRANSIENT,
    Classification,
    Kind,
    Label,
    classify,
)


def http(status: int, text: str = "") -> httpx.HTTPStatusError:
    request = httpx.Request("GET", f"https://api.example.com/{text}")
    with pytest.raises(httpx.HTTPStatusError) as caught:
        httpx.Response(status, request=request).raise_for_status()
    return caught.value


def sql(state: str, text: str = "") -> psycopg.Error:
    return psycopg.errors.lookup(state)(text)


def through_sqlalchemy(error: psycopg.Error, parameters: dict[str, object] | None = None) -> sa.DBAPIError:
    return sa.DBAPIError("select 1 -- forbidden", parameters or {}, error)


def caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


def broken_sqlite() -> sqlite3.OperationalError:
    """A real "database is locked"."""
    uri = f"file:{uuid4()}?mode=memory&cache=shared"
    holder, other = (sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None) for _ in range(2))
    try:
        holder.execute("create table t (a)")
        holder.execute("begin exclusive")
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("insert into t values (1)")
        return caught.value
    finally:
        holder.close()
        other.close()


class PageTimeoutError(Exception):
    """Of a browser driver that we do not import."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Order(pydantic.BaseModel):
    quantity: int


def invalid_model() -> pydantic.ValidationError:
    with pytest.raises(pydantic.ValidationError) as caught:
        Order.model_validate({"quantity": "many"})
    return caught.value


def undecodable() -> json.JSONDecodeError:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    return caught.value


AUTHENTICATION_ERRORS = [
    errors.AuthenticationError("token revoked"),
    http(401),
    http(407),
    urllib.error.HTTPError("https://api.example.com", 401, "Unauthorized", Message(), None),
    smtplib.SMTPAuthenticationError(535, b"refused"),
    redis.AuthenticationError("invalid password"),
    redis.AuthorizationError("no"),
    sql("28P01"),
    psycopg.OperationalError('connection failed: FATAL: password authentication failed for user "jobs"'),
    through_sqlalchemy(sql("28000")),
    RuntimeError("Stored cookies are not authenticated. Log in again."),
    RuntimeError("Authentication required"),
    ValueError("no stored cookies"),
    caused(RuntimeError("sync failed"), http(401)),
]
MANUAL_REVIEW_ERRORS = [
    AttributeError("'NoneType' object has no attribute 'id'"),
    NameError("name 'x' is not defined"),
    UnboundLocalError("x"),
    TypeError("unsupported operand"),
    SyntaxError("invalid syntax"),
    RecursionError("maximum recursion depth exceeded"),
    ModuleNotFoundError("No module named 'x'"),
    sql("42P01", 'relation "runs" does not exist'),
    through_sqlalchemy(sql("42703")),
    psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters were passed"),
    sqlite3.ProgrammingError("Incorrect number of bindings supplied"),
    sa.ArgumentError("Column expression expected"),
    dramatiq.ActorNotFound("gone"),
    errors.DeclarationError("queue 'a b'"),
    caused(RuntimeError("sync failed"), AttributeError("x")),
]
NON_RECOVERABLE_ERRORS = [
    errors.PermanentError("the file is empty"),
    errors.NotFound("no project 7"),
    errors.ArgumentsError("project_id is missing"),
    errors.DuplicateRun("sync", uuid4()),
    ValueError("bad argument"),
    undecodable(),
    invalid_model(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    FileNotFoundError("sessions.jsonl"),
    PermissionError(13, "Permission denied"),
    http(400),
    http(403),
    http(404),
    http(422),
    http(501),
    urllib.error.HTTPError("https://api.example.com", 404, "Not Found", Message(), None),
    httpx.UnsupportedProtocol("no http:// in the URL"),
    httpx.TooManyRedirects("21 redirects"),
    smtplib.SMTPResponseException(550, "no such mailbox"),
    sql("23505"),
    sql("22P02"),
    sql("42501", "permission denied for table runs"),
    sa.NoResultFound("no row"),
    sa.MultipleResultsFound("two rows"),
    through_sqlalchemy(sql("23503")),
    sqlite3.IntegrityError("UNIQUE constraint failed"),
    redis.DataError("Invalid input of type: 'NoneType'"),
    redis.NoPermissionError("NOPERM"),
    ssl.SSLCertVerificationError("certificate has expired"),
    RuntimeError("HTTP 404 from upstream"),
    RuntimeError("Unsupported media type"),
    caused(RuntimeError("import failed"), ValueError("bad row")),
]
TRANSIENT_ERRORS = [
    errors.TransientError("busy"),
    errors.LedgerUnavailable("Postgres is away"),
    TimeoutError("generic"),
    ConnectionResetError(104, "Connection reset by peer"),
    ConnectionRefusedError(111, "Connection refused"),
    BrokenPipeError(32, "Broken pipe"),
    OSError(113, "No route to host"),
    socket.gaierror(-3, "Temporary failure in name resolution"),
    subprocess.TimeoutExpired("ffmpeg", 30),
    ssl.SSLEOFError("EOF occurred in violation of protocol"),
    urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
    smtplib.SMTPServerDisconnected("please run connect() first"),
    smtplib.SMTPResponseException(451, "try again later"),
    http(408),
    http(429),
    http(500),
    http(503, "orders/404"),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("GET /orders/404 timed out"),
    httpx.PoolTimeout("no connection is free"),
    httpx.RemoteProtocolError("server disconnected"),
    psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly"),
    sql("40P01"),
    sql("40001"),
    sql("55P03"),
    sql("57014"),
    sql("57P01"),
    sql("53300"),
    sql("25006"),
    through_sqlalchemy(sql("40P01"), {"path": "/404"}),
    sa.TimeoutError("QueuePool limit of size 5 overflow 10 reached"),
    broken_sqlite(),
    redis.ConnectionError("Error 111 connecting"),
    redis.TimeoutError("Timeout reading from socket"),
    redis.BusyLoadingError("loading the dataset"),
    redis.ReadOnlyError("a replica"),
    redis.LockError("Unable to acquire lock"),
    dramatiq.BrokerConnectionError("gone"),
    dramatiq.RateLimitExceeded("rate limit"),
    dramatiq.Retry("again"),
    TimeLimitExceeded(),
    Shutdown(),
    PageTimeoutError("waiting for selector"),
    RuntimeError("read timed out"),
    RuntimeError("upstream said: too many requests"),
    caused(RuntimeError("sync failed"), httpx.ConnectTimeout("")),
    caused(ExceptionGroup("both", [ValueError("x")]), TimeoutError()),
    caused(errors.TransientError("look again later"), ValueError("half a file")),
]
OTHER_ERRORS = [
    RuntimeError("boom"),
    KeyError("id"),
    ZeroDivisionError(),
    tarfile.ReadError("not a gzip file"),
    OSError(28, "No space left on device"),
    sqlite3.OperationalError("no such table: sessions"),
    sql("25P02"),
    redis.ResponseError("WRONGTYPE"),
    http(304),
    Unspeakable(),
    KeyboardInterrupt(),
]


def name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("error", AUTHENTICATION_ERRORS, ids=name)
def test_authentication(error: BaseException) -> None:
    assert classify(error) == AUTHENTICATION


@pytest.mark.parametrize("error", MANUAL_REVIEW_ERRORS, ids=name)
def test_manual_review(error: BaseException) -> None:
    assert classify(error) == MANUAL_REVIEW


@pytest.mark.parametrize("error", NON_RECOVERABLE_ERRORS, ids=name)
def test_non_recoverable(error: BaseException) -> None:
    assert classify(error) == NON_RECOVERABLE


@pytest.mark.parametrize("error", TRANSIENT_ERRORS, ids=name)
def test_transient(error: BaseException) -> None:
    assert classify(error) == TRANSIENT


@pytest.mark.parametrize("error", OTHER_ERRORS, ids=name)
def test_the_rest_is_not_tried_again(error: BaseException) -> None:
    assert classify(error) == NON_RECOVERABLE


def test_the_declared_kind_wins_over_any_cause_and_word() -> None:
    assert classify(caused(errors.PermanentError("authentication required"), TimeoutError())) == NON_RECOVERABLE
    assert classify(caused(errors.AuthenticationError("x"), TimeoutError())) == AUTHENTICATION


def test_an_exception_with_an_answer_wins_over_its_cause() -> None:
    assert classify(caused(ValueError("bad row"), TimeoutError())) == NON_RECOVERABLE


def test_what_was_being_handled_is_no_cause() -> None:
    error = RuntimeError("cleanup failed")
    error.__context__ = TimeoutError()
    assert classify(error) == NON_RECOVERABLE


def test_only_transient_failures_are_retryable() -> None:
    assert Classification(Kind.TRANSIENT, retryable=True, label=Label.RECOVERABLE) == TRANSIENT
    verdicts = (AUTHENTICATION, MANUAL_REVIEW, NON_RECOVERABLE, POISON)
    assert not any(verdict.retryable for verdict in verdicts)
    assert [verdict.kind.value for verdict in verdicts] == ["authentication", "runtime", "runtime", "poison"]
    assert MANUAL_REVIEW.label == POISON.label == "manual_review_required"
    assert AUTHENTICATION.label == NON_RECOVERABLE.label == "non_recoverable"
