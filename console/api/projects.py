"""`/v1/teams/{team}/projects`: whose runs belong together."""

from uuid import UUID

from fastapi import APIRouter

from callboard.accounts import projects
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api._doors import InTeam, TeamManager, TeamReader
from console.api._problems import documented
from console.api.models import Done, NewProject, Project, Projects, Rename
from console.api.teams import Why

router = APIRouter(prefix="/v1/teams/{team}/projects", tags=["projects"], responses=documented(404))


@router.get("", operation_id="list_projects", summary="The projects of a team")
def list_projects(at: TeamReader) -> Projects:
    """By slug."""
    with transaction() as connection:
        return Projects.model_validate({"items": projects.listing(connection, [at.team.id])})


@router.post(
    "", operation_id="create_project", status_code=201, responses=documented(404, 409), summary="Make a project"
)
def create_project(asked: NewProject, at: TeamManager) -> Project:
    """409 if the team has one of that slug."""
    return Project.model_validate(operations.create_project(at.team.id, asked.name, who=at.who, slug=asked.slug))


@router.get("/{project_id}", operation_id="get_project", summary="One project")
def get_project(project_id: UUID, at: TeamReader) -> Project:
    """By its id."""
    return _one(project_id, at)


@router.patch("/{project_id}", operation_id="rename_project", summary="Rename a project")
def rename_project(project_id: UUID, asked: Rename, at: TeamManager) -> Project:
    """Its slug stays."""
    _one(project_id, at)
    return Project.model_validate(operations.rename_project(project_id, asked.name, who=at.who))


@router.delete("/{project_id}", operation_id="delete_project", summary="Delete a project")
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
