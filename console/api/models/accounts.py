"""People, teams, projects, keys, and the audit log."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, SecretStr

from console.api.models._base import Answer, Asked, Json, Line, Time, Why

BoardRole = Literal["admin", "operator", "viewer"]
TeamRole = Literal["owner", "admin", "member"]
Scope = Literal["jobs:read", "jobs:write", "accounts:write"]
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$")]
_Slug = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$")]
#: A mail address.
Mail = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]
_Password = Annotated[SecretStr, Field(min_length=12, max_length=1024)]


class TeamOfMine(Answer):
    """A team, and what whoever asks is in it."""

    id: UUID
    slug: str
    name: str
    role: TeamRole


class Me(Answer):
    """Who asks."""

    user_id: UUID
    name: str
    email: str
    role: BoardRole | None = Field(description="On the whole board; null: sees their teams only.")
    key_id: UUID | None
    key_team: UUID | None = Field(description="The only team that the key reaches.")
    scopes: list[str] | None = Field(description="What the key may be used for; null: signed in, no limit.")
    permissions: list[str] = Field(description="What they may do on the whole board.")
    teams: list[TeamOfMine]


class Team(Answer):
    """A team."""

    id: UUID
    slug: str
    name: str
    created_at: Time
    members: int
    projects: int


class Teams(Answer):
    """The teams that whoever asks may know of, by slug."""

    items: list[Team]


class NewTeam(Asked):
    """A team to make."""

    name: _Name
    slug: _Slug | None = Field(None, description="Its name in addresses; made from the name if not given.")
    owner: UUID | None = Field(None, description="Its first owner, by their user id.")
    why: Why = ""


class Rename(Asked):
    """A new name."""

    name: _Name
    why: Why = ""


class Member(Answer):
    """Somebody in a team."""

    user_id: UUID
    email: str
    name: str
    role: TeamRole
    created_at: Time
    disabled_at: Time | None


class Members(Answer):
    """Who is in a team, by address."""

    items: list[Member]


class NewMember(Asked):
    """Who is to be in the team."""

    email: Mail
    role: TeamRole = "member"
    why: Why = ""


class ChangeMember(Asked):
    """What they are to be."""

    role: TeamRole
    why: Why = ""


class Project(Answer):
    """A project of a team."""

    id: UUID
    team_id: UUID
    team: str = Field(description="Its team's slug.")
    slug: str
    name: str
    created_at: Time


class Projects(Answer):
    """Projects, by team and slug."""

    items: list[Project]


class NewProject(Asked):
    """A project to make."""

    name: _Name
    slug: _Slug | None = None
    why: Why = ""


class Key(Answer):
    """An API key, without what makes it one."""

    id: UUID
    team_id: UUID | None = Field(description="Null: it acts on the whole board, as far as its owner may.")
    team: str | None = Field(description="That team's slug.")
    user_id: UUID
    owner: str = Field(description="The address of whose it is.")
    name: str
    prefix: str = Field(description="Its first characters, by which people tell keys apart.")
    scopes: list[str]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    state: Literal["active", "revoked", "expired", "disabled"]


class Keys(Answer):
    """Keys, newest first."""

    items: list[Key]


class NewKey(Asked):
    """A key to make."""

    name: _Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    team: Annotated[Line, Field(min_length=1)] | None = Field(
        None, description="Id or slug of the only team it reaches."
    )
    expires_in_seconds: Annotated[float, Field(gt=0, le=3650 * 86_400, allow_inf_nan=False)] | None = Field(
        None, description="Null: it does not expire."
    )


class CreatedKey(Key):
    """A key that was made, shown this once."""

    key: str = Field(description="The key itself. It is not kept: nobody can show it again.")


class User(Answer):
    """Somebody who can sign in."""

    id: UUID
    email: str
    name: str
    role: BoardRole | None
    created_at: Time
    disabled_at: Time | None
    last_sign_in_at: Time | None
    has_password: bool


class NewUser(Asked):
    """Somebody who is to sign in."""

    email: Mail
    name: Annotated[Line, Field(max_length=100)] = ""
    role: BoardRole | None = None
    password: _Password | None = Field(None, description="Null: they sign in by a link only.")
    why: Why = ""


class ChangePassword(Asked):
    """One's own new password."""

    old: Annotated[SecretStr, Field(max_length=1024)] = Field(
        SecretStr(""), description="The one that holds now; left out by who has none yet."
    )
    new: _Password


class NewLink(Asked):
    """For how long a link is to work."""

    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60, allow_inf_nan=False)] = 10
    why: Why = ""


class Link(Answer):
    """A link that signs somebody in once."""

    url: str
    expires_in_seconds: float


class ChangeUser(Asked):
    """What is to be other; what is left out stays, and a role of null takes theirs away."""

    name: Annotated[Line, Field(max_length=100)] | None = None
    role: BoardRole | None = None
    disabled: bool | None = None
    why: Why = ""


class SignIn(Answer):
    """Where somebody is signed in."""

    id: str = Field(description="Names the sign-in; it is not what signs in.")
    created_at: Time
    expires_at: Time
    last_seen_at: Time
    ip: str | None
    agent: str | None
    current: bool = Field(description="The one that asks.")


class SignIns(Answer):
    """Where whoever asks is signed in."""

    items: list[SignIn]


class AuditEntry(Answer):
    """One act of somebody."""

    id: int
    at: Time
    who: str
    who_name: str = Field(description="How people know them: the address where there is one.")
    action: str
    resource_type: str
    resource_id: str
    team_id: UUID | None
    why: str
    ip: str | None
    agent: str | None
    detail: Json | None
