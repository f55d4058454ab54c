"""Everything that changes people, teams, projects and keys, each with its audit row in the same transaction.

Who may do it is the door's to ask (`callboard.accounts.require`); what needs more than a role, such as that only an
owner unmakes an owner, is asked here. No password, key or link is in an audit row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from callboard.accounts import keys, projects, sign_in, teams, users
from callboard.errors import Forbidden, Invalid, SignInRefused
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.accounts import Principal
    from callboard.accounts.keys import Key
    from callboard.accounts.projects import Project
    from callboard.accounts.teams import Team
    from callboard.accounts.users import User
    from callboard.operations._audit import Who


def create_user(
    email: str, *, who: Who, name: str = "", role: str | None = None, password: str | None = None, why: str = ""
) -> User:
    """Let somebody in; without a password they sign in by links.

    Raises:
        Invalid: The address, the name, the role or the password does not fit.
        Conflict: There is a user of that address.
    """
    with transaction() as connection:
        user = users.create(connection, email, name=name, role=role)
        if password is not None:
            user = users.set_password(connection, user.id, password)
        _note(connection, who, "create", user, why, role=role)
    return user


def set_name(user_id: UUID, name: str, *, who: Who) -> User:
    """Change how somebody is shown.

    Raises:
        NotFound: There is no such user.
        Invalid: It does not fit.
    """
    with transaction() as connection:
        user = users.set_name(connection, user_id, name)
        _note(connection, who, "rename", user, "", name=user.name)
    return user


def set_role(user_id: UUID, role: str | None, *, who: Who, why: str = "") -> User:
    """Change what somebody may on the whole board, and their keys with them; None: their teams only.

    Raises:
        NotFound: There is no such user.
        Invalid: There is no such role.
        Conflict: They are the last admin.
    """
    with transaction() as connection:
        before = users.get(connection, user_id).role
        user = users.set_role(connection, user_id, role)
        _note(connection, who, "role", user, why, before=before, role=user.role)
    return user


def set_password(user_id: UUID, password: str, *, who: Who) -> User:
    """Change a password; every sign-in and link of theirs ends with the old one.

    Raises:
        NotFound: There is no such user.
        Invalid: It is too short or too long.
        Unsupported: argon2-cffi is not installed.
    """
    with transaction() as connection:
        user = users.set_password(connection, user_id, password)
        _note(connection, who, "password", user, "")
    return user


def change_own_password(
    principal: Principal, old: str, new: str, *, who: Who, ip: str | None, agent: str | None
) -> sign_in.Session:
    """Change one's own password, which takes the old one if there is one; the sign-in to go on with: all others end.

    Raises:
        Invalid: The old one is wrong, or the new one is too short or too long.
        SignInRefused: The old one was wrong too often.
        Forbidden: A key asks.
    """
    if principal.scopes is not None:
        raise Forbidden("A key cannot change a password: sign in to the console.")
    with transaction() as connection:
        has_one = users.get(connection, principal.user_id).has_password
    if has_one:
        _require_password(principal.email, old, ip=ip, agent=agent)
    set_password(principal.user_id, new, who=who)
    return sign_in.with_password(principal.email, new, ip=ip, agent=agent)


def _require_password(email: str, password: str, *, ip: str | None, agent: str | None) -> None:
    try:
        sign_in.with_password(email, password, ip=ip, agent=agent)
    except SignInRefused as refused:
        if refused.retry_after is not None:
            raise
        raise Invalid("old", "The password that you have now is another one.") from None


def disable(user_id: UUID, *, who: Who, why: str = "") -> User:
    """Keep somebody out at once: their sign-ins and links end, their keys do nothing.

    Raises:
        NotFound: There is no such user.
        Conflict: They are the last admin.
    """
    with transaction() as connection:
        user = users.disable(connection, user_id)
        _note(connection, who, "disable", user, why)
    return user


def enable(user_id: UUID, *, who: Who, why: str = "") -> User:
    """Let somebody in again, with their keys.

    Raises:
        NotFound: There is no such user.
    """
    with transaction() as connection:
        user = users.enable(connection, user_id)
        _note(connection, who, "enable", user, why)
    return user


def make_link(user_id: UUID, *, who: Who, minutes: float = 10, why: str = "") -> str:
    """The token of a link that signs somebody in once; `sign_in.link_url` makes the address of it.

    Raises:
        NotFound: There is no such user.
        Forbidden: They are disabled.
        Invalid: It would be good for more than a week, or for no time.
    """
    with transaction() as connection:
        token = sign_in.link_within(connection, user_id, minutes)
        _note(connection, who, "link", users.get(connection, user_id), why, minutes=minutes)
    return token


def sign_out_everywhere(user_id: UUID, *, who: Who, why: str = "") -> int:
    """End all of somebody's sign-ins and links; how many sign-ins there were.

    Raises:
        NotFound: There is no such user.
    """
    with transaction() as connection:
        user = users.get(connection, user_id)
        ended = users.end_sign_ins(connection, user_id)
        _note(connection, who, "sign_out", user, why, sign_ins=ended)
    return ended


def end_sign_in(user_id: UUID, sign_in_id: str, *, who: Who) -> bool:
    """End one of somebody's sign-ins, by the id of `sign_in.listing`; whether there was one."""
    with transaction() as connection:
        ended = sign_in.end(connection, user_id, sign_in_id)
        if ended:
            _note(connection, who, "sign_out", users.get(connection, user_id), "", sign_in=sign_in_id)
    return ended


def create_team(name: str, *, who: Who, slug: str | None = None, owner: UUID | None = None, why: str = "") -> Team:
    """A team, with its first owner if one is named.

    Raises:
        Invalid: The name or the slug does not fit.
        Conflict: A team is called so.
        NotFound: There is no such user.
    """
    with transaction() as connection:
        team = teams.create(connection, name, slug=slug)
        if owner is not None:
            teams.set_member(connection, team.id, owner, "owner", principal=None)
        _note_team(connection, who, "create", team, why, slug=team.slug, owner=owner)
        return teams.get(connection, team.id)


def rename_team(team_id: UUID, name: str, *, who: Who, why: str = "") -> Team:
    """Change a team's name; its slug stays.

    Raises:
        NotFound: There is no such team.
        Invalid: The name does not fit.
    """
    with transaction() as connection:
        team = teams.rename(connection, team_id, name)
        _note_team(connection, who, "rename", team, why, name=team.name)
    return team


def delete_team(team_id: UUID, *, who: Who, why: str = "") -> Team:
    """Hide a team with its projects, runs and keys; nothing is erased.

    Raises:
        NotFound: There is no such team.
    """
    with transaction() as connection:
        team = teams.delete(connection, team_id)
        _note_team(connection, who, "delete", team, why, slug=team.slug)
    return team


def set_member(
    team_id: UUID, user_id: UUID, role: str, *, who: Who, principal: Principal | None, why: str = ""
) -> None:
    """Let somebody into a team, or change their role there; `principal` as in `accounts.teams.set_member`.

    Raises:
        NotFound: There is no such team or user.
        Invalid: There is no such role.
        Forbidden: They may not: only an owner makes and unmakes owners.
        Conflict: It is the team's last owner.
    """
    with transaction() as connection:
        before = teams.set_member(connection, team_id, user_id, role, principal=principal)
        detail = {"user": user_id, "before": before, "role": role}
        _note_team(connection, who, "member", teams.get(connection, team_id), why, **detail)


def remove_member(team_id: UUID, user_id: UUID, *, who: Who, principal: Principal | None, why: str = "") -> None:
    """Put somebody out of a team, or leave it oneself; their keys of the team do nothing any more.

    Raises:
        NotFound: There is no such team, or they are not in it.
        Forbidden: They may not: only an owner removes owners.
        Conflict: It is the team's last owner.
    """
    with transaction() as connection:
        before = teams.remove_member(connection, team_id, user_id, principal=principal)
        detail = {"user": user_id, "before": before}
        _note_team(connection, who, "remove_member", teams.get(connection, team_id), why, **detail)


def create_project(team_id: UUID, name: str, *, who: Who, slug: str | None = None, why: str = "") -> Project:
    """A project of a team.

    Raises:
        NotFound: There is no such team.
        Invalid: The name or the slug does not fit.
        Conflict: The team has a project called so.
    """
    with transaction() as connection:
        project = projects.create(connection, team_id, name, slug=slug)
        _note_project(connection, who, "create", project, why, slug=project.slug)
    return project


def rename_project(project_id: UUID, name: str, *, who: Who, why: str = "") -> Project:
    """Change a project's name; its slug stays.

    Raises:
        NotFound: There is no such project.
        Invalid: The name does not fit.
    """
    with transaction() as connection:
        project = projects.rename(connection, project_id, name)
        _note_project(connection, who, "rename", project, why, name=project.name)
    return project


def delete_project(project_id: UUID, *, who: Who, why: str = "") -> Project:
    """Hide a project with its runs; nothing is erased.

    Raises:
        NotFound: There is no such project.
    """
    with transaction() as connection:
        project = projects.delete(connection, project_id)
        _note_project(connection, who, "delete", project, why, slug=project.slug)
    return project


def create_key(
    owner: Principal,
    name: str,
    scopes: Iterable[str],
    *,
    who: Who,
    team_id: UUID | None = None,
    expires_in: timedelta | None = None,
    why: str = "",
) -> tuple[str, Key]:
    """A new key, which is shown this once, and what may be shown of it later; see `accounts.keys.create`.

    Raises:
        Invalid: The name, a scope or the expiry does not fit.
        Forbidden: A key asks, or the owner is not in that team.
        NotFound: There is no such team.
    """
    with transaction() as connection:
        text, key = keys.create(connection, owner, name, scopes, team_id=team_id, expires_in=expires_in)
        detail = {"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "expires_at": key.expires_at}
        audit(connection, replace(who, team_id=team_id), "api_key.create", ("api_key", key.id), why=why, detail=detail)
    return text, key


def revoke_key(key_id: UUID, *, who: Who, why: str = "") -> Key:
    """End a key for good, at once.

    Raises:
        NotFound: There is none of that id.
    """
    with transaction() as connection:
        key = keys.revoke(connection, key_id)
        detail = {"name": key.name, "prefix": key.prefix}
        at_team = replace(who, team_id=key.team_id)
        audit(connection, at_team, "api_key.revoke", ("api_key", key.id), why=why, detail=detail)
    return key


def _note(connection: Connection, who: Who, verb: str, user: User, why: str, **detail: Any) -> None:  # noqa: ANN401 - JSON
    audit(connection, who, f"user.{verb}", ("user", user.id), why=why, detail={"email": user.email, **detail})


def _note_team(connection: Connection, who: Who, verb: str, team: Team, why: str, **detail: Any) -> None:  # noqa: ANN401
    audit(connection, replace(who, team_id=team.id), f"team.{verb}", ("team", team.id), why=why, detail=detail)


def _note_project(
    connection: Connection,
    who: Who,
    verb: str,
    project: Project,
    why: str,
    **detail: Any,  # noqa: ANN401 - JSON
) -> None:
    at_team = replace(who, team_id=project.team_id)
    audit(connection, at_team, f"project.{verb}", ("project", project.id), why=why, detail=detail)
