"""`/v1/projects` and `/v1/teams/{team}/projects`: whose runs belong together."""

from uuid import UUID

from fastapi import APIRouter

from callboard.accounts import may, projects
from callboard.accounts.permissions import Permission
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api._doors import InTeam, Me, TeamManager, TeamReader, with_scope
from console.api._problems import documented
from console.api.models import Done, NewProject, Project, Projects, Rename
from console.api.teams import Why

router = APIRouter(prefix="/v1", tags=["projects"], responses=documented(404))


@router.get("/projects", operation_id="list_all_projects", summary="The projects of the teams that you may see")
def list_all_projects(me: Me) -> Projects:
    """By team and slug: of your own teams, or of all with a role on the board."""
    with_scope(me, Permission.TEAM_READ)
    with transaction() as connection:
        found = projects.listing(connection)
    seen = [project for project in found if may(me, Permission.TEAM_READ, team_id=project.team_id)]
    return Projects.model_validate({"items": seen})


@router.get("/teams/{team}/projects", operation_id="list_projects", summary="The projects of a team")
def list_projects(at: TeamReader) -> Projects:
    """By slug."""
    with transaction() as connection:
        return Projects.model_validate({"items": projects.listing(connection, [at.team.id])})


@router.post(
    "/teams/{team}/projects",
    operation_id="create_project",
    status_code=201,
    responses=documented(404, 409),
    summary="Make a project",
)
def create_project(asked: NewProject, at: TeamManager) -> Project:
    """409 if the team has one of that slug."""
    made = operations.create_project(at.team.id, asked.name, who=at.who, slug=asked.slug, why=asked.why)
    return Project.model_validate(made)


@router.get("/teams/{team}/projects/{project_id}", operation_id="get_project", summary="One project")
def get_project(project_id: UUID, at: TeamReader) -> Project:
    """By its id."""
    return _one(project_id, at)


@router.patch("/teams/{team}/projects/{project_id}", operation_id="rename_project", summary="Rename a project")
def rename_project(project_id: UUID, asked: Rename, at: TeamManager) -> Project:
    """Its slug stays."""
    _one(project_id, at)
    return Project.model_validate(operations.rename_project(project_id, asked.name, who=at.who, why=asked.why))


@router.delete("/teams/{team}/projects/{project_id}", operation_id="delete_project", summary="Delete a project")
def delete_project(project_id: UUID, at: TeamManager, why: Why = "") -> Done:
    """It is hidden with its runs; nothing is erased."""
    _one(project_id, at)
    operations.delete_project(project_id, who=at.who, why=why)
    return Done()


def _one(project_id: UUID, at: InTeam) -> Project:
    with transaction() as connection:
        found = projects.get(connection, project_id)
    if found.team_id != at.team.id:
        raise NotFound(f"No project is {project_id}.")
    return Project.model_validate(found)
