"""What the API answers when it does not do what was asked."""

from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer


class Problem(Answer):
    """Why nothing was done, in one line for people."""

    error: str
    field: str | None = Field(None, description="Which field, parameter or header does not fit, where it is one.")


class Conflict(Answer):
    """Why nothing was done: something is there already, or was done already."""

    error: str
    existing_run_id: UUID | None = Field(None, description="The run that is pending or running already.")
