"""Find a team as people name it, and what is in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from callboard.accounts import projects, teams
from callboard.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from callboard.accounts.teams import Team


def find(connection: Connection, name: str) -> Team | None:
    """The team of that id or slug; None if there is none, or it is deleted. A slug may look like an id."""
    with suppress(NotFound):
        return teams.by_slug(connection, name)
    with suppress(NotFound, ValueError):
        return teams.get(connection, UUID(name))
    return None


def project_ids(connection: Connection, team_id: UUID) -> set[str]:
    """The team's projects, as `runs.project_id` has them."""
    return {str(project.id) for project in projects.listing(connection, [team_id])}
