"""Signing in: by password or by a link that works once; what the cookie holds, and how long that is good for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sqlalchemy import text

from callboard.accounts import _attempts, _passwords, _tokens, _words, users
from callboard.accounts.principal import COLUMNS, load, principal_from
from callboard.errors import Forbidden, Invalid, SignInRefused
from callboard.ledger import audit
from callboard.ledger.database import transaction
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.accounts.principal import Principal

#: A sign-in ends after so long, however much it is used.
MOST_DAYS = 30
#: Characters of a token of the settings; those made here have 43.
LEAST_TOKEN, MOST_TOKEN = 16, 200
#: A link is good for so many minutes at most.
MOST_MINUTES = 7 * 24 * 60

_LIVES = f"least(now() + make_interval(secs => :seconds), {{}} + interval '{MOST_DAYS} days')"
_WRONG = "The address or the password is not right."
_USED = "This link was used before, has expired or never was; ask for a new one."

_PASSWORD = text("select id, password_hash from board.users where lower(email) = lower(:email) and disabled_at is null")
_REHASH = text("update board.users set password_hash = :new where id = :id and password_hash = :old")
_OPEN = text(f"""
insert into board.sign_ins (token_hash, user_id, expires_at, ip, agent)
values (:token_hash, :user_id, {_LIVES.format("now()")}, :ip, :agent) returning expires_at
""")  # noqa: S608 - constants
_SEEN = text("update board.users set last_sign_in_at = now() where id = :user_id")
_FIND = text(f"""
select s.last_seen_at < now() - interval '1 minute' as unnoted, {COLUMNS}
from board.sign_ins s join board.users u on u.id = s.user_id
where s.token_hash = :token_hash and s.expires_at > now() and u.disabled_at is null
""")  # noqa: S608 - constants
_SLIDE = text(f"""
update board.sign_ins set last_seen_at = now(), expires_at = {_LIVES.format("created_at")}
where token_hash = :token_hash
""")  # noqa: S608 - constants
_OUT = text("delete from board.sign_ins where token_hash = :token_hash returning user_id")
_LINK = text("""
insert into board.sign_in_links (token_hash, user_id, expires_at)
values (:token_hash, :user_id, now() + make_interval(secs => :seconds)) on conflict (token_hash) do nothing
""")
_USE = text("""
update board.sign_in_links l set used_at = now() from board.users u
where l.token_hash = :token_hash and l.used_at is null and l.expires_at > now()
  and u.id = l.user_id and u.disabled_at is null returning l.user_id
""")
_GOOD = text("""
select 1 from board.sign_in_links where token_hash = :token_hash and used_at is null and expires_at > now()
""")
# A token of the settings never expires: a used one must stay known as used. Others of that kind are void with it.
_FOR_EVER = 100 * 365.25 * 86400
_VOID = text("""
update board.sign_in_links set used_at = now()
where user_id = :user_id and used_at is null and token_hash <> :token_hash and expires_at > now() + interval '50 years'
""")
_MINE = text("""
select encode(substring(token_hash for 8), 'hex') as id, created_at, last_seen_at, expires_at, ip, agent,
  token_hash = :token_hash as current
from board.sign_ins where user_id = :user_id and expires_at > now() order by last_seen_at desc, id
""")
_END_ONE = text("""
delete from board.sign_ins where user_id = :user_id and encode(substring(token_hash for 8), 'hex') = :id
""")


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that was just made; `token` goes into the cookie and is kept nowhere else."""

    token: str = field(repr=False)
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """One of somebody's sign-ins, as they see it; `id` is no secret, `current` is the one that asks."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    agent: str | None
    current: bool


def with_password(email: str, password: str, *, ip: str | None, agent: str | None) -> Session:
    """Sign in by address and password; an unknown address costs as much time as a wrong password.

    Raises:
        SignInRefused: They do not fit, or there were too many failures.
        Unsupported: argon2-cffi is not installed.
    """
    counted = _attempts.counted_as(email)
    attempt = _attempts.begin(counted, ip)
    with transaction() as connection:
        row = connection.execute(_PASSWORD, {"email": counted}).one_or_none()
    known: str | None = None if row is None else row.password_hash
    right = _passwords.fits(known, password)  # outside a transaction: it takes a while
    if row is None or known is None or not right:
        raise SignInRefused(_WRONG)
    renewed = _passwords.hashed(password) if _passwords.outdated(known) else None
    with transaction() as connection:
        _attempts.succeeded(connection, attempt, counted)
        if renewed is not None:
            connection.execute(_REHASH, {"id": row.id, "old": known, "new": renewed})
        return _open(connection, row.id, "password", ip, agent)


def with_link(token: str, *, ip: str | None, agent: str | None) -> Session:
    """Sign in by a link; of many who use it at once, one is signed in.

    Raises:
        SignInRefused: It was used, has expired or never was, or there were too many failures.
    """
    attempt = _attempts.begin("", ip)
    with transaction() as connection:
        user_id = connection.execute(_USE, {"token_hash": _tokens.digest(token)}).scalar_one_or_none()
        if user_id is not None:
            _attempts.succeeded(connection, attempt, "")
            return _open(connection, user_id, "link", ip, agent)
    raise SignInRefused(_USED)


def find(token: str, *, used: bool = True) -> Principal | None:
    """Who a cookie's token stands for, as of now; None if they are signed out, or have to sign in again.

    Its use moves the end of the sign-in, which is written at most once a minute; looking alone, without `used`, does
    not.
    """
    given = {"token_hash": _tokens.digest(token)}
    with transaction() as connection:
        row = connection.execute(_FIND, given).mappings().one_or_none()
        if row is None:
            return None
        if used and row["unnoted"]:
            connection.execute(_SLIDE, given | {"seconds": _seconds()})
    return principal_from(row)


def out(token: str, *, ip: str | None = None, agent: str | None = None) -> None:
    """Sign out; an unknown token is no error."""
    with transaction() as connection:
        user_id = connection.execute(_OUT, {"token_hash": _tokens.digest(token)}).scalar_one_or_none()
        if user_id is not None:
            who = audit.Who(f"manual:user:{user_id}", ip, agent)
            audit.write(connection, who, "sign_in.out", ("user", user_id))


def listing(connection: Connection, user_id: UUID, *, token: str = "") -> Sequence[SignIn]:
    """Their sign-ins, the last used first; `token` is that of the one who asks."""
    given = {"user_id": user_id, "token_hash": _tokens.digest(token)}
    return [SignIn(*row) for row in connection.execute(_MINE, given)]


def end(connection: Connection, user_id: UUID, sign_in_id: str) -> bool:
    """End one of their sign-ins, by the id of its listing; whether there was one."""
    return connection.execute(_END_ONE, {"user_id": user_id, "id": _words.sought(sign_in_id)}).rowcount > 0


def make_link(user_id: UUID, minutes: float = 10) -> str:
    """The token of a link that signs this user in, once, within some minutes.

    Raises:
        NotFound: There is no such user.
        Forbidden: They are disabled.
        Invalid: It would be good for more than a week, or for no time.
    """
    with transaction() as connection:
        return link_within(connection, user_id, minutes)


def link_within(connection: Connection, user_id: UUID, minutes: float) -> str:
    """`make_link`, in the caller's transaction."""
    if not 0 < minutes <= MOST_MINUTES:
        raise Invalid(
            "minutes", f"minutes {minutes:g} must be more than 0 and at most {MOST_MINUTES}, which is a week."
        )
    user = users.get(connection, user_id)
    if user.disabled_at is not None:
        raise Forbidden(f"{user.email} is disabled: `callboard users enable {user.email}` comes first.")
    token = _tokens.new_token()
    given = {"token_hash": _tokens.digest(token), "user_id": user_id, "seconds": 60 * minutes}
    connection.execute(_LINK, given)
    return token


def register_token(token: str) -> None:
    """Make a token of the settings a link that signs the local operator in; one that was used stays used.

    Raises:
        Invalid: It is too short to be a secret, or too long for a link.
    """
    if not LEAST_TOKEN <= len(token) <= MOST_TOKEN:
        raise Invalid(
            "console_token",
            f"CALLBOARD_CONSOLE_TOKEN has {len(token)} characters; it needs {LEAST_TOKEN} to {MOST_TOKEN} random ones.",
        )
    with transaction() as connection:
        user = users.local_operator(connection)
        given = {"token_hash": _tokens.digest(token), "user_id": user.id}
        connection.execute(_VOID, given)
        connection.execute(_LINK, given | {"seconds": _FOR_EVER})


def local_operator() -> users.User:
    """The admin whom the links of this machine sign in; made, without a password, when missing."""
    with transaction() as connection:
        return users.local_operator(connection)


def is_good(token: str) -> bool:
    """Whether a link with that token would sign somebody in now; asking does not use it."""
    with transaction() as connection:
        return connection.execute(_GOOD, {"token_hash": _tokens.digest(token)}).one_or_none() is not None


def link_url(token: str, *, console: str = "") -> str:
    """The address that signs in with that token; `console` is where it listens, if not where the settings say."""
    settings = get_settings()
    scheme = "https" if settings.console_tls_cert else "http"
    host = f"[{settings.console_host}]" if ":" in settings.console_host else settings.console_host
    base = settings.console_url.rstrip("/") or console or f"{scheme}://{host}:{settings.console_port}"
    return f"{base}/sign-in/link?{urlencode({'token': token})}"


def _open(connection: Connection, user_id: UUID, how: str, ip: str | None, agent: str | None) -> Session:
    principal = load(connection, user_id)
    if principal is None:  # disabled since its password was compared
        raise SignInRefused(_WRONG)
    token, who = _tokens.new_token(), principal.who(ip, agent)
    given = {
        "token_hash": _tokens.digest(token),
        "user_id": user_id,
        "seconds": _seconds(),
        "ip": ip,
        "agent": audit.shortened(agent),
    }
    expires_at = connection.execute(_OPEN, given).scalar_one()
    connection.execute(_SEEN, given)
    audit.write(connection, who, f"sign_in.{how}", ("user", user_id))
    return Session(token, principal, expires_at)


def _seconds() -> float:
    return get_settings().console_session_hours * 3600
