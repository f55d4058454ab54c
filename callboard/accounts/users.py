"""People: who there is, and what changes about them. Changes with their audit row: `callboard.operations.accounts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import text

from callboard.accounts import _passwords, _words
from callboard.errors import Conflict, NotFound
from callboard.ids import new_id
from callboard.ledger.account_tables import BOARD_ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.accounts.principal import BoardRole

#: Who the link that `callboard up` prints signs in.
LOCAL_OPERATOR = "operator@localhost"

_SELECT = """
select id, email, name, role, created_at, disabled_at, last_sign_in_at, password_hash is not null as has_password
from board.users
"""
_LIST = text(f"""{_SELECT}
where (cast(:search as text) is null or strpos(lower(email || ' ' || name), lower(:search)) > 0)
  and (cast(:after as text) is null or lower(email) > lower(:after))
order by lower(email) limit :limit
""")
_GET = text(f"{_SELECT} where id = :id")
_BY_EMAIL = text(f"{_SELECT} where lower(email) = lower(:email)")
_INSERT = text("""
insert into board.users (id, email, name, role) values (:id, :email, :name, :role)
on conflict (lower(email)) do nothing returning id
""")
# Locked in one order, so that two admins who remove each other at once do it one after the other.
_ADMINS = text("select id from board.users where role = 'admin' and disabled_at is null order by id for update")
_SIGN_OUT = text("delete from board.sign_ins where user_id = :id")
_VOID_LINKS = text("update board.sign_in_links set used_at = now() where user_id = :id and used_at is null")


@dataclass(frozen=True, slots=True)
class User:
    """A person; `role` is on the whole board, None for whoever sees their teams only."""

    id: UUID
    email: str
    name: str
    role: BoardRole | None
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in_at: datetime | None
    has_password: bool


def listing(
    connection: Connection, *, search: str | None = None, after: str | None = None, limit: int = 500
) -> Sequence[User]:
    """Users by address; `search` is found in address and name, `after` is the last address of the page before."""
    given = {"search": _words.sought(search), "after": _words.sought(after), "limit": limit}
    return [_user(row) for row in connection.execute(_LIST, given).mappings()]


def get(connection: Connection, user_id: UUID) -> User:
    """One user.

    Raises:
        NotFound: There is none of that id.
    """
    return _found(connection.execute(_GET, {"id": user_id}).mappings().one_or_none(), user_id)


def by_email(connection: Connection, email: str) -> User:
    """One user, by their address in any case.

    Raises:
        NotFound: There is none of that address.
    """
    return _found(
        connection.execute(_BY_EMAIL, {"email": _words.sought(email.strip())}).mappings().one_or_none(), email
    )


def create(connection: Connection, email: str, *, name: str = "", role: str | None = None) -> User:
    """A user who has no password yet.

    Raises:
        Invalid: The address, the name or the role does not fit.
        Conflict: There is a user of that address.
    """
    user_id = UUID(new_id())
    given = {
        "id": user_id,
        "email": _words.email(email),
        "name": _words.name(name, required=False),
        "role": None if role is None else _words.one_of(role, BOARD_ROLES, "role"),
    }
    if connection.execute(_INSERT, given).one_or_none() is None:
        raise Conflict(f"A user with the address {given['email']} is there already.")
    return get(connection, user_id)


def local_operator(connection: Connection) -> User:
    """The admin whom the links of this machine sign in; made, without a password, when missing."""
    given = {"id": UUID(new_id()), "email": LOCAL_OPERATOR, "name": "Local operator", "role": "admin"}
    connection.execute(_INSERT, given)
    return by_email(connection, LOCAL_OPERATOR)


def set_name(connection: Connection, user_id: UUID, name: str) -> User:
    """Change how they are shown.

    Raises:
        NotFound: There is no such user.
        Invalid: It does not fit in one line.
    """
    return _change(connection, user_id, "name = :value", _words.name(name, required=False))


def set_role(connection: Connection, user_id: UUID, role: str | None) -> User:
    """Change what they may on the whole board; None: their teams only.

    Raises:
        NotFound: There is no such user.
        Invalid: There is no such role.
        Conflict: They are the last admin.
    """
    wanted = None if role is None else _words.one_of(role, BOARD_ROLES, "role")
    if wanted != "admin":
        _keep_an_admin(connection, user_id)
    return _change(connection, user_id, "role = :value", wanted)


def disable(connection: Connection, user_id: UUID) -> User:
    """End their sign-ins, links and keys' effect; what they did stays theirs.

    Raises:
        NotFound: There is no such user.
        Conflict: They are the last admin.
    """
    _keep_an_admin(connection, user_id)
    end_sign_ins(connection, user_id)
    return _change(connection, user_id, "disabled_at = coalesce(disabled_at, now())")


def enable(connection: Connection, user_id: UUID) -> User:
    """Let them in again; their keys work again, former sign-ins do not.

    Raises:
        NotFound: There is no such user.
    """
    return _change(connection, user_id, "disabled_at = null")


def set_password(connection: Connection, user_id: UUID, password: str) -> User:
    """Change the password and end every sign-in and link, for the old one may be in wrong hands.

    Raises:
        NotFound: There is no such user.
        Invalid: It is too short or too long.
        Unsupported: argon2-cffi is not installed.
    """
    end_sign_ins(connection, user_id)
    return _change(connection, user_id, "password_hash = :value", _passwords.hashed(password))


def end_sign_ins(connection: Connection, user_id: UUID) -> int:
    """Sign them out everywhere, and make the links that were sent to them useless; how many sign-ins ended."""
    connection.execute(_VOID_LINKS, {"id": user_id})
    return connection.execute(_SIGN_OUT, {"id": user_id}).rowcount


def _keep_an_admin(connection: Connection, leaving: UUID) -> None:
    admins = connection.execute(_ADMINS).scalars().all()
    if list(admins) == [leaving]:
        raise Conflict("This is the last admin who is not disabled: make somebody else one first.")


def _change(connection: Connection, user_id: UUID, change: str, value: str | None = None) -> User:
    statement = text(f"update board.users set {change} where id = :id")  # noqa: S608 - words of this file
    given = {"id": user_id} if ":value" not in change else {"id": user_id, "value": value}
    connection.execute(statement, given)
    return get(connection, user_id)


def _found(row: RowMapping | None, asked: object) -> User:
    if row is None:
        raise NotFound(f"No user is {asked}; `callboard users list` shows them.")
    return _user(row)


def _user(row: RowMapping) -> User:
    return User(**cast("dict[str, Any]", dict(row)))
