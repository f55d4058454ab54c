"""API keys: given out once, found by their hash, and never stronger than whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import text

from callboard.accounts import _tokens, _words, teams
from callboard.accounts.permissions import SCOPES, Permission, may
from callboard.accounts.principal import COLUMNS, principal_from
from callboard.errors import Forbidden, Invalid, NotFound
from callboard.ids import new_id
from callboard.ledger.database import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.accounts.principal import Principal

MARK = "cb_"
_SHOWN = len(MARK) + 8
_LENGTH = len(MARK) + 43

_FIND = text(f"""
select k.id as key_id, k.team_id as key_team, k.scopes,
  coalesce(k.last_used_at < now() - interval '1 minute', true) as unnoted, {COLUMNS}
from board.api_keys k join board.users u on u.id = k.user_id left join board.teams kt on kt.id = k.team_id
where k.key_hash = :key_hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
  and u.disabled_at is null and kt.deleted_at is null
""")  # noqa: S608 - constants
# Asked again in the statement: of many requests at once, one writes.
_USED = text("""
update board.api_keys set last_used_at = now()
where id = (select id from board.api_keys where id = :id
            and (last_used_at is null or last_used_at < now() - interval '1 minute') for update skip locked)
""")
_INSERT = text("""
insert into board.api_keys (id, team_id, user_id, name, prefix, key_hash, scopes, expires_at)
values (:id, :team_id, :user_id, :name, :prefix, :key_hash, :scopes, now() + :expires_in)
""")
_SELECT = """
select k.id, k.team_id, t.slug as team, k.user_id, u.email as owner, k.name, k.prefix, k.scopes,
  k.created_at, k.expires_at, k.revoked_at, k.last_used_at,
  case when k.revoked_at is not null then 'revoked' when k.expires_at <= now() then 'expired'
       when u.disabled_at is not null or t.deleted_at is not null then 'disabled' else 'active' end as state
from board.api_keys k join board.users u on u.id = k.user_id left join board.teams t on t.id = k.team_id
"""
_LIST = text(f"""{_SELECT}
where (cast(:user_id as uuid) is null or k.user_id = :user_id)
  and (cast(:team_id as uuid) is null or k.team_id = :team_id)
  and (:everything or (k.revoked_at is null and coalesce(k.expires_at > now(), true)))
order by k.created_at desc, k.id desc limit :limit
""")
_GET = text(f"{_SELECT} where k.id = :id")
_BY_PREFIX = text(f"{_SELECT} where k.prefix = :prefix")
_REVOKE = text("update board.api_keys set revoked_at = coalesce(revoked_at, now()) where id = :id")


@dataclass(frozen=True, slots=True)
class Key:
    """What may be shown of a key.

    Attributes:
        team_id: The team that it is confined to; None: it reaches as far as its owner.
        team: That team's slug.
        owner: The address of whose it is.
        prefix: Its first characters, by which people tell keys apart.
        state: `active`, `revoked`, `expired`, or `disabled` with its owner or its team.
    """

    id: UUID
    team_id: UUID | None
    team: str | None
    user_id: UUID
    owner: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    state: str


def find(key: str) -> Principal | None:
    """Whom a key stands for; None if it is unknown, revoked or expired, or its owner or team is gone.

    One look-up by an index; that it was used is written at most once a minute.
    """
    if len(key) != _LENGTH or not key.startswith(MARK):
        return None
    with transaction() as connection:
        row = connection.execute(_FIND, {"key_hash": _tokens.digest(key)}).mappings().one_or_none()
        if row is None:
            return None
        if row["unnoted"]:
            connection.execute(_USED, {"id": row["key_id"]})
    return principal_from(row, key_id=row["key_id"], key_team=row["key_team"], scopes=frozenset(row["scopes"]))


def create(
    connection: Connection,
    owner: Principal,
    name: str,
    scopes: Iterable[str],
    *,
    team_id: UUID | None = None,
    expires_in: timedelta | None = None,
) -> tuple[str, Key]:
    """A new key, and what may be shown of it later; the key itself is not kept.

    Args:
        connection: Inside the transaction of the act.
        owner: Whose it will be: a person who signed in, no key.
        name: What it is for.
        scopes: What it may do, of `SCOPES`.
        team_id: The team that it is confined to; None: it reaches as far as its owner.
        expires_in: How long it is good for; None: until it is revoked.

    Raises:
        Invalid: The name, a scope or the expiry does not fit.
        Forbidden: A key asks, or the owner may not read that team, so that the key could do nothing there.
        NotFound: There is no such team.
    """
    if owner.scopes is not None:
        raise Forbidden("A key cannot make keys: sign in to the console, or use `callboard keys create`.")
    if team_id is not None and not may(owner, Permission.TEAM_READ, team_id=team_id):
        raise Forbidden(f"{owner.email} is not in that team, so a key of theirs could do nothing there.")
    if team_id is not None:
        teams.get(connection, team_id)
    key = MARK + _tokens.new_token()
    given: dict[str, Any] = {
        "id": UUID(new_id()),
        "team_id": team_id,
        "user_id": owner.user_id,
        "name": _words.name(name),
        "prefix": key[:_SHOWN],
        "key_hash": _tokens.digest(key),
        "scopes": known_scopes(scopes),
        "expires_in": _expiry(expires_in),
    }
    connection.execute(_INSERT, given)
    return key, get(connection, given["id"])


def known_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes, in their usual order.

    Raises:
        Invalid: One is unknown, or there is none.
    """
    wanted = set(scopes)
    for scope in sorted(wanted):
        _words.one_of(scope, SCOPES, "scopes")
    if not wanted:
        raise Invalid("scopes", f"scopes is empty, and such a key could do nothing: name some of {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in wanted]


def listing(
    connection: Connection,
    *,
    user_id: UUID | None = None,
    team_id: UUID | None = None,
    everything: bool = False,
    limit: int = 500,
) -> Sequence[Key]:
    """Keys, newest first; revoked and expired ones only if `everything` is asked for."""
    given = {"user_id": user_id, "team_id": team_id, "everything": everything, "limit": limit}
    return [_key(row) for row in connection.execute(_LIST, given).mappings()]


def get(connection: Connection, key_id: UUID) -> Key:
    """One key.

    Raises:
        NotFound: There is none of that id.
    """
    return _one(connection.execute(_GET, {"id": key_id}).mappings().all(), str(key_id))


def by_prefix(connection: Connection, prefix: str) -> Key:
    """One key, by the first characters that listings show.

    Raises:
        NotFound: None begins so, or several do.
    """
    return _one(connection.execute(_BY_PREFIX, {"prefix": _words.sought(prefix)}).mappings().all(), prefix)


def named(connection: Connection, word: str) -> Key:
    """One key, by its id or by the first characters that listings show.

    Raises:
        NotFound: There is none, or several begin so.
    """
    try:
        return get(connection, UUID(word))
    except ValueError:
        return by_prefix(connection, word)


def revoke(connection: Connection, key_id: UUID) -> Key:
    """End a key for good; one that is revoked stays as it is.

    Raises:
        NotFound: There is none of that id.
    """
    connection.execute(_REVOKE, {"id": key_id})
    return get(connection, key_id)


def _expiry(expires_in: timedelta | None) -> timedelta | None:
    if expires_in is not None and not timedelta(0) < expires_in <= timedelta(days=3650):
        raise Invalid("expires_in", f"expires_in {expires_in} must be more than nothing and at most 3650 days.")
    return expires_in


def _one(rows: Sequence[RowMapping], asked: str) -> Key:
    if len(rows) != 1:
        raise NotFound(f"{len(rows) or 'No'} keys are {asked}; `callboard keys list` shows them.")
    return _key(rows[0])


def _key(row: RowMapping) -> Key:
    fields = cast("dict[str, Any]", dict(row))
    return Key(**fields | {"scopes": tuple(fields["scopes"])})
