"""People, teams, projects and keys of a board behind an API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.accounts.keys import Key
from callboard.accounts.projects import Project
from callboard.accounts.teams import Member, Team
from callboard.accounts.users import User
from callboard.errors import NotFound
from cli._accounts import as_id, split_project
from console.api import models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from cli.board._http import Http

_MOST = 200
_Users = models.Listing[models.User]


class RemoteAccounts:
    """Each act as whose the key is; for its meaning see the port."""

    _http: Http

    # Users

    def user(self, user: str) -> User:
        if as_id(user) is not None:
            return _user(self._http.get("users", user))
        for one in self._each_user(user.strip(), _MOST):
            if one.email.lower() == user.strip().lower():
                return one
        raise NotFound(f"No user is {user}; `callboard users list` shows them.")

    def users(self, search: str | None, limit: int) -> Sequence[User]:
        found = self._each_user(search, min(limit, _MOST))
        return [user for user, _ in zip(found, range(limit), strict=False)]

    def _each_user(self, search: str | None, at_once: int) -> Iterator[User]:
        cursor: str | None = None
        while True:
            page = _Users.model_validate(self._http.get("users", search=search, cursor=cursor, limit=at_once))
            yield from (User(**user.model_dump()) for user in page.items)
            cursor = page.cursor
            if cursor is None:
                return

    def add_user(self, email: str, *, name: str, role: str | None, why: str) -> User:
        body = {"email": email, "name": name, "role": role, "why": why}
        return _user(self._http.post("users", body=body))

    def set_role(self, user: str, role: str | None, why: str) -> User:
        return _user(self._http.patch("users", self.user(user).id, body={"role": role, "why": why}))

    def set_disabled(self, user: str, why: str, *, disabled: bool) -> User:
        return _user(self._http.patch("users", self.user(user).id, body={"disabled": disabled, "why": why}))

    # Teams

    def team(self, team: str) -> Team:
        return _team(self._http.get("teams", team))

    def teams(self) -> Sequence[Team]:
        return [Team(**team.model_dump()) for team in models.Teams.model_validate(self._http.get("teams")).items]

    def add_team(self, name: str, *, slug: str | None, owner: str | None, why: str) -> Team:
        first = None if owner is None else str(self.user(owner).id)
        return _team(self._http.post("teams", body={"name": name, "slug": slug, "owner": first, "why": why}))

    def rename_team(self, team: str, name: str, why: str) -> Team:
        return _team(self._http.patch("teams", team, body={"name": name, "why": why}))

    def delete_team(self, team: str, why: str) -> Team:
        gone = self.team(team)
        self._http.delete("teams", gone.id, why=why)
        return gone

    def members(self, team: Team) -> Sequence[Member]:
        found = models.Members.model_validate(self._http.get("teams", team.id, "members"))
        return [Member(**one.model_dump()) for one in found.items]

    def set_member(self, team: Team, user: str, role: str, why: str) -> str:
        email = user if as_id(user) is None else self.user(user).email
        body = {"email": email.strip(), "role": role, "why": why}
        return models.Member.model_validate(self._http.post("teams", team.id, "members", body=body)).email

    def remove_member(self, team: Team, user: str, why: str) -> str:
        sought = user.strip().lower()
        for one in self.members(team):
            if sought in (one.email.lower(), str(one.user_id)):
                self._http.delete("teams", team.id, "members", one.user_id, why=why)
                return one.email
        raise NotFound("They are not in this team.")

    # Projects

    def projects(self, team: str | None) -> Sequence[Project]:
        path = ("projects",) if team is None else ("teams", team, "projects")
        found = models.Projects.model_validate(self._http.get(*path))
        return [Project(**project.model_dump()) for project in found.items]

    def add_project(self, team: str, name: str, *, slug: str | None, why: str) -> Project:
        body = {"name": name, "slug": slug, "why": why}
        return _project(self._http.post("teams", team, "projects", body=body))

    def rename_project(self, project: str, name: str, why: str) -> Project:
        found = self._project(project)
        body = {"name": name, "why": why}
        return _project(self._http.patch("teams", found.team_id, "projects", found.id, body=body))

    def delete_project(self, project: str, why: str) -> Project:
        gone = self._project(project)
        self._http.delete("teams", gone.team_id, "projects", gone.id, why=why)
        return gone

    def _project(self, word: str) -> Project:
        team, slug = split_project(word)
        for one in self.projects(team or None):
            if slug == one.slug if team else str(one.id) == slug.lower():
                return one
        raise NotFound(f"No project is {word}; `callboard projects list` shows them.")

    # Keys

    def keys(self, user_id: UUID | None, team: str | None, *, everything: bool) -> Sequence[Key]:
        at = self._key_place() if team is None else ("teams", team)
        told = self._http.get(*at, "keys", **{} if at[0] == "teams" else {"user_id": user_id}, all=everything)
        found = [_key(key) for key in models.Keys.model_validate(told).items]
        return [key for key in found if user_id in (None, key.user_id)]

    def revoke_key(self, key: str, why: str) -> Key:
        return _key(models.Key.model_validate(self._http.delete(*self._key_place(), "keys", key, why=why)))

    def _key_place(self) -> tuple[object, ...]:
        """Where everybody's keys are, or for a key that is confined to a team, that team's."""
        team = models.Me.model_validate(self._http.get("me")).key_team
        return ("accounts",) if team is None else ("teams", team)


def _user(told: Any) -> User:  # noqa: ANN401 - JSON, as below
    return User(**models.User.model_validate(told).model_dump())


def _team(told: Any) -> Team:  # noqa: ANN401
    return Team(**models.Team.model_validate(told).model_dump())


def _project(told: Any) -> Project:  # noqa: ANN401
    return Project(**models.Project.model_validate(told).model_dump())


def _key(told: models.Key) -> Key:
    fields = told.model_dump()
    return Key(**fields | {"scopes": tuple(told.scopes)})
