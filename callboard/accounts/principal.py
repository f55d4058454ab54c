"""Who asks, and what they have: read anew for every request, so that a change holds at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import UUID

from sqlalchemy import text

from callboard.ledger.audit import Who

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, RowMapping

BoardRole = Literal["admin", "operator", "viewer"]
TeamRole = Literal["owner", "admin", "member"]

#: What a query on `board.users u` selects for `principal_from`.
COLUMNS = """
u.id as user_id, u.email, u.name, u.role,
(select jsonb_object_agg(m.team_id, m.role) from board.memberships m join board.teams t on t.id = m.team_id
 where m.user_id = u.id and t.deleted_at is null) as team_roles
"""
_LOAD = text(f"select {COLUMNS} from board.users u where u.id = :user_id and u.disabled_at is null")  # noqa: S608 - constants


def _no_teams() -> Mapping[UUID, TeamRole]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person, or a key that acts for one.

    Attributes:
        user_id: The person; of a key, whose it is.
        name: As it is shown; the address where no name was given.
        email: The person's address.
        role: On the whole board; None: they see their teams only.
        team_roles: Of the person, in each team that is there.
        key_id: The key that asks; None for a person who signed in.
        key_team: The one team that the key is confined to.
        scopes: What the key was made for; None for a person who signed in: no limit.
    """

    user_id: UUID
    email: str
    name: str = ""
    role: BoardRole | None = None
    team_roles: Mapping[UUID, TeamRole] = field(default_factory=_no_teams, hash=False)
    key_id: UUID | None = None
    key_team: UUID | None = None
    scopes: frozenset[str] | None = None

    def who(self, ip: str | None = None, agent: str | None = None, team_id: UUID | None = None) -> Who:
        """The same, for the audit and as a run's trigger; `team_id` is on whose behalf."""
        name = f"manual:user:{self.user_id}" if self.key_id is None else f"manual:api_key:{self.key_id}"
        return Who(name, ip, agent, team_id)

    def owner(self) -> Principal:
        """The person behind a key, without the key's limits."""
        return replace(self, key_id=None, key_team=None, scopes=None)


def load(connection: Connection, user_id: UUID) -> Principal | None:
    """The person, as if they had signed in; None if there is none or they are disabled."""
    row = connection.execute(_LOAD, {"user_id": user_id}).mappings().one_or_none()
    return None if row is None else principal_from(row)


def principal_from(row: RowMapping, **key: Any) -> Principal:  # noqa: ANN401 - the three attributes of a key
    """The principal of a row with `COLUMNS`."""
    roles = {UUID(team): cast("TeamRole", role) for team, role in (row["team_roles"] or {}).items()}
    return Principal(
        user_id=row["user_id"],
        email=row["email"],
        name=row["name"] or row["email"],
        role=row["role"],
        team_roles=MappingProxyType(roles),
        **key,
    )
