"""What commands ask of a board's people, teams, projects and keys, wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from callboard.accounts.keys import Key
    from callboard.accounts.projects import Project
    from callboard.accounts.teams import Member, Team
    from callboard.accounts.users import User


class Accounts(Protocol):
    """A `user` is named by address or id, a `team` by slug or id, a `project` by `team/project` or id."""

    def user(self, user: str) -> User:
        """The user of that name."""

    def users(self, search: str | None, limit: int) -> Sequence[User]:
        """Users by address; `search` is found in address and name."""

    def add_user(self, email: str, *, name: str, role: str | None, why: str) -> User:
        """Let somebody in, without a password."""

    def set_role(self, user: str, role: str | None, why: str) -> User:
        """Change what they may on the whole board; None: their teams only."""

    def set_disabled(self, user: str, why: str, *, disabled: bool) -> User:
        """Keep them out, or let them in again."""

    def team(self, team: str) -> Team:
        """The team of that name."""

    def teams(self) -> Sequence[Team]:
        """Teams by slug."""

    def add_team(self, name: str, *, slug: str | None, owner: str | None, why: str) -> Team:
        """Make a team; `owner` is a user."""

    def rename_team(self, team: str, name: str, why: str) -> Team:
        """Change its name."""

    def delete_team(self, team: str, why: str) -> Team:
        """Hide it with all it has; what it was."""

    def members(self, team: Team) -> Sequence[Member]:
        """Who is in it, by address."""

    def set_member(self, team: Team, user: str, role: str, why: str) -> str:
        """Let somebody in, or change their role; their address."""

    def remove_member(self, team: Team, user: str, why: str) -> str:
        """Put somebody out; their address."""

    def projects(self, team: str | None) -> Sequence[Project]:
        """Projects by team and slug, of one team or of all."""

    def add_project(self, team: str, name: str, *, slug: str | None, why: str) -> Project:
        """Make a project."""

    def rename_project(self, project: str, name: str, why: str) -> Project:
        """Change its name."""

    def delete_project(self, project: str, why: str) -> Project:
        """Hide it with its runs; what it was."""

    def keys(self, user_id: UUID | None, team: str | None, *, everything: bool) -> Sequence[Key]:
        """Keys, newest first."""

    def revoke_key(self, key: str, why: str) -> Key:
        """End one for good, by its id or first characters."""
