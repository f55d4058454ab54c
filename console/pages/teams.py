"""What a team sees: the runs of its projects, a form for each job it may start, its members."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003 - FastAPI reads annotations at run time

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from callboard.accounts import projects, teams, users
from callboard.accounts.permissions import Permission, may, require
from callboard.accounts.teams import Team  # noqa: TC001 - FastAPI reads annotations at run time
from callboard.errors import ArgumentsError, NotFound
from callboard.job import all_jobs
from callboard.ledger import listing
from callboard.ledger.account_tables import TEAM_ROLES
from callboard.ledger.database import transaction
from callboard.operations import accounts, runs
from callboard.spec import PROJECT, spec_of
from callboard.views import story
from console import deps
from console._words import short
from console.deps import Ledger, SignedIn  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages._kit import Back, Told, Why, act, show
from console.pages._listing import look
from console.pages.runs import facts

if TYPE_CHECKING:
    from inspect import Parameter

    from sqlalchemy import Connection, RowMapping

    from callboard.accounts import Principal
    from callboard.spec import JobSpec

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Field:
    """One argument of a job's form: `kind` is text, number, flag or json."""

    name: str
    kind: str
    required: bool
    default: str


@router.get("/teams")
def mine(request: Request, ledger: Ledger, me: SignedIn) -> Response:
    """The only team of whoever asks, or a list to choose from."""
    found = teams.listing(ledger, list(me.team_roles)) if me.team_roles else []
    if len(found) == 1:
        return RedirectResponse(f"/teams/{found[0].slug}", 303)
    return show(request, ledger, "teams.html", teams=found)


@router.get("/teams/{slug}")
def team(request: Request, ledger: Ledger, me: SignedIn, slug: str, q: str = "", cursor: str = "") -> Response:
    """One team."""
    found = _team(ledger, me, slug)
    known = projects.listing(ledger, [found.id])
    ids = [str(project.id) for project in known]
    return show(
        request,
        ledger,
        "team.html",
        team=found,
        projects=known,
        names={str(project.id): project.name for project in known},
        members=teams.members(ledger, found.id),
        jobs={name: _fields(spec) for name, spec in _jobs().items()},
        may_run=may(me, Permission.TEAM_RUN, team_id=found.id),
        may_manage=may(me, Permission.TEAM_MANAGE, team_id=found.id),
        roles=TEAM_ROLES,
        list=look(ledger, "runs", f"/teams/{slug}", q=q, cursor=cursor, projects=ids),
    )


def _team(ledger: Connection, me: Principal, slug: str) -> Team:
    """The team, if whoever asks may see it; one they may not see is not there."""
    found = teams.by_slug(ledger, slug)
    if not may(me, Permission.TEAM_READ, team_id=found.id):
        raise NotFound(f"No team is called {slug!r}.")
    return found


def _jobs() -> dict[str, JobSpec]:
    specs = {name: spec_of(job) for name, job in sorted(all_jobs().items())}
    return {name: spec for name, spec in specs.items() if spec.scope == "project"}


def _fields(spec: JobSpec) -> list[Field]:
    taken = [one for one in spec.signature.parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return [_field(one) for one in taken if one.name != PROJECT]


def _field(parameter: Parameter) -> Field:
    given = parameter.default is not parameter.empty
    default = parameter.default if given else None
    words = str(parameter.annotation).replace("<class '", "").split("'")[0].split(" ")[0]
    kind = {"int": "number", "float": "number", "bool": "flag", "str": "text"}.get(words, "json")
    kind = "text" if parameter.annotation is parameter.empty else kind
    shown = "" if default is None else default if isinstance(default, str) else json.dumps(default, default=str)
    return Field(parameter.name, kind, not given, shown)


@router.post("/teams/{slug}/trigger/{job}")
async def trigger(request: Request, me: SignedIn, slug: str, job: str) -> Response:
    """Start a job of a project, with the arguments of its form."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_trigger, request, me, slug, job, form)


def _trigger(request: Request, me: Principal, slug: str, job: str, form: dict[str, str]) -> Response:
    with transaction() as ledger:
        found = _team(ledger, me, slug)
        require(me, Permission.TEAM_RUN, team_id=found.id)
        known = {str(project.id) for project in projects.listing(ledger, [found.id])}

    def do() -> Told:
        spec = _jobs().get(job)
        if spec is None or form.get(PROJECT) not in known:
            raise NotFound(f"Team {found.name} has no such job or project.")
        notify = (me.email,) if form.get("notify") else ()
        who = deps.who(request, found.id)
        made = runs.trigger(job, _arguments(spec, form), who=who, why=form.get("why", ""), notify=notify)
        return Told(f"{job} was asked for.", f"/teams/{slug}/runs/{made.id}", f"Show run {short(made.id)}")

    return act(f"/teams/{slug}", do)


def _arguments(spec: JobSpec, form: dict[str, str]) -> dict[str, Any]:
    """The arguments of a form; a field left empty takes its default."""
    found: dict[str, Any] = {PROJECT: form[PROJECT]}
    for field in _fields(spec):
        given = form.get(f"arg.{field.name}", "").strip()
        if field.kind == "flag":
            found[field.name] = bool(given)
        elif given:
            found[field.name] = _value(field, given)
    return found


def _value(field: Field, given: str) -> object:
    if field.kind == "text":
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise ArgumentsError(f"{field.name}={given!r} is no {field.kind}.") from None


# One run of a team


@router.get("/teams/{slug}/runs/{run_id}")
def detail(request: Request, ledger: Ledger, me: SignedIn, slug: str, run_id: str) -> Response:
    """Everything that the team may know of one of its runs."""
    found = _team(ledger, me, slug)
    row = _run(ledger, found, run_id)
    told = story.tell(ledger, str(row["id"]), now=datetime.now(UTC))
    path = f"/teams/{slug}"
    frame = {"back": path, "back_name": found.name, "run_path": f"{path}/runs", "act_path": f"{path}/runs/{row['id']}"}
    allowed = may(me, Permission.TEAM_RUN, team_id=found.id)
    return show(request, ledger, "run.html", **frame, **facts(told), may_act=allowed, acts=[])


def _run(ledger: Connection, found: Team, run_id: str) -> RowMapping:
    """The run, if it is of one of the team's projects; any other is not there."""
    row = listing.run(ledger, run_id)
    if row["project_id"] not in {str(project.id) for project in projects.listing(ledger, [found.id])}:
        raise NotFound(f"Team {found.name} has no run {run_id}.")
    return row


@router.post("/teams/{slug}/runs/{run_id}/cancel")
def cancel(
    request: Request, ledger: Ledger, me: SignedIn, *, slug: str, run_id: UUID, why: Why = "", back: Back = "/teams"
) -> Response:
    """Cancel one of the team's runs."""
    found = _team(ledger, me, slug)
    require(me, Permission.TEAM_RUN, team_id=found.id)
    row = _run(ledger, found, str(run_id))

    def do() -> Told:
        answer = runs.cancel(row["id"], who=deps.who(request, found.id), why=why)
        return Told("The run is cancelled." if answer == "cancelled" else "The run was asked to stop.")

    return act(back, do)


# Members and projects


@router.post("/teams/{slug}/members")
def set_member(
    request: Request,
    ledger: Ledger,
    me: SignedIn,
    slug: str,
    email: Annotated[str, Form(max_length=320)],
    role: Annotated[str, Form(max_length=20)] = "member",
) -> Response:
    """Let somebody into the team, or change their role."""
    found = _team(ledger, me, slug)
    require(me, Permission.TEAM_MANAGE, team_id=found.id)

    def do() -> Told:
        user = users.by_email(ledger, email)
        accounts.set_member(found.id, user.id, role, who=deps.who(request, found.id), principal=me)
        return Told(f"{user.email} is {role} of {found.name}.")

    return act(f"/teams/{slug}", do)


@router.post("/teams/{slug}/members/{user_id}/remove")
def remove_member(request: Request, ledger: Ledger, me: SignedIn, slug: str, user_id: UUID, why: Why = "") -> Response:
    """Put somebody out of the team, or leave it."""
    found = _team(ledger, me, slug)
    if user_id != me.user_id:
        require(me, Permission.TEAM_MANAGE, team_id=found.id)

    def do() -> Told:
        accounts.remove_member(found.id, user_id, who=deps.who(request, found.id), principal=me, why=why)
        return Told(f"They are not in {found.name} any more.")

    return act(f"/teams/{slug}", do)


@router.post("/teams/{slug}/projects")
def add_project(
    request: Request, ledger: Ledger, me: SignedIn, slug: str, name: Annotated[str, Form(max_length=200)]
) -> Response:
    """A project of the team."""
    found = _team(ledger, me, slug)
    require(me, Permission.TEAM_MANAGE, team_id=found.id)

    def do() -> Told:
        made = accounts.create_project(found.id, name, who=deps.who(request, found.id))
        return Told(f"Project {made.name} is there.")

    return act(f"/teams/{slug}", do)
