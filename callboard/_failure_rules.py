"""The rules by which a single exception gets its kind: classes first, then codes, then words in its message.

A class that is transient by nature is never overruled by a word: "GET /orders/404 timed out" stays a timeout.
"""

from __future__ import annotations

import errno
import re
import smtplib
import socket
import sqlite3
import ssl
import urllib.error

import psycopg
import redis.exceptions as redis
import sqlalchemy.exc as sa
from dramatiq import errors as dramatiq
from dramatiq.middleware import Interrupt

from callboard._causes import is_httpx
from callboard.errors import (
    ArgumentsError,
    DeclarationError,
    DuplicateRun,
    LedgerUnavailable,
    NotFound,
    Postponed,
    ReplayRefused,
)

_UNAUTHENTICATED_STATUSES = frozenset({401, 407})
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(506, 600)})
_CLIENT_ERROR = 400
_PASSING_SMTP = range(400, 500)
_LONGEST_TEXT = 4_000
_SQL_PRIVILEGE = "42501"
# PostgreSQL, appendix A: connection, rollback (deadlock, serialization), resources, lock timeout, cancel and shutdown,
# system; then a primary that became a replica, and an idle transaction that was ended.
_PASSING_SQL = ("08", "40", "53", "55", "57", "58", "25006", "25P03")
_SQLITE_PRIMARY = 0xFF  # the rest of an extended result code
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PASSING_ERRNOS = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENOBUFS})

_Classes = tuple[type[BaseException], ...]
_UNAUTHENTICATED_CLASSES: _Classes = (
    *(redis.AuthenticationError, redis.AuthorizationError, redis.ExternalAuthProviderError),
    smtplib.SMTPAuthenticationError,
)
_REVIEW: _Classes = (
    *(AttributeError, NameError, TypeError, SyntaxError, RecursionError, ImportError, NotImplementedError),
    *(psycopg.ProgrammingError, sqlite3.ProgrammingError, sa.ArgumentError, sa.CompileError),
    *(dramatiq.ActorNotFound, dramatiq.QueueNotFound, DeclarationError),
)
_HOPELESS: _Classes = (
    *(ArgumentsError, DuplicateRun, NotFound, ReplayRefused),
    *(ValueError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(sa.NoResultFound, sa.MultipleResultsFound, psycopg.IntegrityError, psycopg.DataError),
    *(sqlite3.IntegrityError, sqlite3.DataError, redis.DataError, redis.NoPermissionError, dramatiq.DecodeError),
    smtplib.SMTPResponseException,
)
_PASSING: _Classes = (
    *(LedgerUnavailable, Postponed, ConnectionError, BlockingIOError, InterruptedError, socket.gaierror),
    *(ssl.SSLEOFError, ssl.SSLZeroReturnError, smtplib.SMTPServerDisconnected),
    *(redis.ConnectionError, redis.ReadOnlyError, redis.TryAgainError, redis.ClusterDownError),
    *(redis.LockError, redis.WatchError, redis.OutOfMemoryError),
    *(dramatiq.BrokerConnectionError, dramatiq.RateLimitExceeded, dramatiq.Retry),
    Interrupt,  # the time limit, and a worker's shutdown
)
_HOPELESS_HTTP = ("InvalidURL", "UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects", "DecodingError")
_PASSING_HTTP = ("NetworkError", "RemoteProtocolError", "ProxyError")
# Any library's timeout, without importing it: PoolTimeout, ReadTimeout, TimeoutException, TimeoutExpired, ...
_TIMEOUT_NAME = re.compile(r"Timeout(Error|Exception|Expired)?$")

_AUTHENTICATION_TEXT = re.compile(
    "stored cookies are not authenticated|authentication required|no stored cookies|password authentication failed",
    re.IGNORECASE,
)
_HOPELESS_TEXT = re.compile(
    r"invalid payload|invalid parameter|validation failed|media missing|deleted media|\b404\b|permission denied"
    r"|forbidden|unsupported media",
    re.IGNORECASE,
)
_PASSING_TEXT = re.compile(
    r"timed out|connection (was )?(reset|refused)|deadlock|lock wait|too many requests|rate limit"
    r"|temporarily (unavailable|blocked)",
    re.IGNORECASE,
)


def unwrapped(exception: BaseException) -> BaseException:
    """The error that a library wrapped without raising `from` it, or whose wrapper's text would mislead.

    SQLAlchemy's text carries the statement and its parameters, in which any word may occur.
    """
    if isinstance(exception, sa.StatementError) and exception.orig is not None:
        return exception.orig
    if isinstance(exception, urllib.error.URLError) and isinstance(exception.reason, BaseException):
        return exception.reason
    return exception


def is_authentication(exception: BaseException) -> bool:
    """A credential is missing or refused."""
    if isinstance(exception, _UNAUTHENTICATED_CLASSES) or _http_status(exception) in _UNAUTHENTICATED_STATUSES:
        return True
    return _sqlstate(exception).startswith("28") or bool(_AUTHENTICATION_TEXT.search(_text(exception)))


def needs_review(exception: BaseException) -> bool:
    """A mistake in the code, or code that does not fit its database."""
    if isinstance(exception, ArgumentsError):
        return False
    state = _sqlstate(exception)
    if state:
        return state.startswith("42") and state != _SQL_PRIVILEGE
    return isinstance(exception, _REVIEW)


def is_non_recoverable(exception: BaseException) -> bool:
    """The same input would fail again."""
    if _passing_by_nature(exception):
        return False
    if (_http_status(exception) or 0) >= _CLIENT_ERROR or is_httpx(exception, *_HOPELESS_HTTP):
        return True
    if isinstance(exception, _HOPELESS):
        return True
    return bool(_HOPELESS_TEXT.search(_text(exception)))


def is_transient(exception: BaseException) -> bool:
    """Likely to pass without anybody's help."""
    return _passing_by_nature(exception) or bool(_PASSING_TEXT.search(_text(exception)))


def _passing_by_nature(exception: BaseException) -> bool:
    """Transient by its class or code, whatever its message says."""
    if isinstance(exception, _PASSING) or is_httpx(exception, *_PASSING_HTTP):
        return True
    if _http_status(exception) in _PASSING_STATUSES:
        return True
    if isinstance(exception, psycopg.Error):
        return _passing_in_postgres(exception)
    if isinstance(exception, smtplib.SMTPResponseException):
        return exception.smtp_code in _PASSING_SMTP
    return _passing_in_the_system(exception) or _is_timeout(exception)


def _passing_in_postgres(error: psycopg.Error) -> bool:
    """By SQLSTATE; a broken connection has none."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_PASSING_SQL)


def _passing_in_the_system(exception: BaseException) -> bool:
    if isinstance(exception, sqlite3.Error):
        code = getattr(exception, "sqlite_errorcode", None)  # absent where Python itself raised it
        return code is not None and code & _SQLITE_PRIMARY in _SQLITE_BUSY
    return isinstance(exception, OSError) and exception.errno in _PASSING_ERRNOS


def _is_timeout(exception: BaseException) -> bool:
    return any(_TIMEOUT_NAME.search(parent.__name__) for parent in type(exception).__mro__)


def _http_status(exception: BaseException) -> int | None:
    if is_httpx(exception, "HTTPStatusError"):
        status: int = exception.response.status_code  # type: ignore[attr-defined]  # what the name says it has
        return status
    return exception.code if isinstance(exception, urllib.error.HTTPError) else None


def _sqlstate(exception: BaseException) -> str:
    return (exception.sqlstate or "") if isinstance(exception, psycopg.Error) else ""


def _text(exception: BaseException) -> str:
    """The message, as far as a rule looks at it."""
    try:
        return str(exception)[:_LONGEST_TEXT]
    except Exception:  # noqa: BLE001 - a broken __str__ of a stranger's class must not hide the failure itself
        return ""
