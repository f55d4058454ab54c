"""People, teams, projects and keys of this machine's ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.accounts import keys, projects, teams, users
from callboard.ledger.database import transaction
from callboard.operations import accounts
from cli import _accounts
from cli._options import who

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from callboard.accounts.keys import Key
    from callboard.accounts.projects import Project
    from callboard.accounts.teams import Member, Team
    from callboard.accounts.users import User


class LocalAccounts:
    """Each act as the person at the keyboard; for its meaning see the port."""

    # Users

    def user(self, user: str) -> User:
        return _accounts.user(user)

    def users(self, search: str | None, limit: int) -> Sequence[User]:
        with transaction() as connection:
            return users.listing(connection, search=search, limit=limit)

    def add_user(self, email: str, *, name: str, role: str | None, why: str) -> User:
        return accounts.create_user(email, name=name, role=role, who=who(), why=why)

    def set_role(self, user: str, role: str | None, why: str) -> User:
        return accounts.set_role(self.user(user).id, role, who=who(), why=why)

    def set_disabled(self, user: str, why: str, *, disabled: bool) -> User:
        act = accounts.disable if disabled else accounts.enable
        return act(self.user(user).id, who=who(), why=why)

    # Teams

    def team(self, team: str) -> Team:
        return _accounts.team(team)

    def teams(self) -> Sequence[Team]:
        with transaction() as connection:
            return teams.listing(connection)

    def add_team(self, name: str, *, slug: str | None, owner: str | None, why: str) -> Team:
        first = None if owner is None else self.user(owner).id
        return accounts.create_team(name, slug=slug, owner=first, who=who(), why=why)

    def rename_team(self, team: str, name: str, why: str) -> Team:
        return accounts.rename_team(self.team(team).id, name, who=who(), why=why)

    def delete_team(self, team: str, why: str) -> Team:
        return accounts.delete_team(self.team(team).id, who=who(), why=why)

    def members(self, team: Team) -> Sequence[Member]:
        with transaction() as connection:
            return teams.members(connection, team.id)

    def set_member(self, team: Team, user: str, role: str, why: str) -> str:
        whom = self.user(user)
        accounts.set_member(team.id, whom.id, role, who=who(), principal=None, why=why)
        return whom.email

    def remove_member(self, team: Team, user: str, why: str) -> str:
        whom = self.user(user)
        accounts.remove_member(team.id, whom.id, who=who(), principal=None, why=why)
        return whom.email

    # Projects

    def projects(self, team: str | None) -> Sequence[Project]:
        chosen = None if team is None else [self.team(team).id]
        with transaction() as connection:
            return projects.listing(connection, chosen)

    def add_project(self, team: str, name: str, *, slug: str | None, why: str) -> Project:
        return accounts.create_project(self.team(team).id, name, slug=slug, who=who(), why=why)

    def rename_project(self, project: str, name: str, why: str) -> Project:
        return accounts.rename_project(_accounts.project(project).id, name, who=who(), why=why)

    def delete_project(self, project: str, why: str) -> Project:
        return accounts.delete_project(_accounts.project(project).id, who=who(), why=why)

    # Keys

    def keys(self, user_id: UUID | None, team: str | None, *, everything: bool) -> Sequence[Key]:
        team_id = None if team is None else self.team(team).id
        with transaction() as connection:
            return keys.listing(connection, user_id=user_id, team_id=team_id, everything=everything)

    def revoke_key(self, key: str, why: str) -> Key:
        with transaction() as connection:
            key_id = keys.named(connection, key).id
        return accounts.revoke_key(key_id, who=who(), why=why)
