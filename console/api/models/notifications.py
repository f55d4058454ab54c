"""Notifications: who was told of what."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Asked, Line, Why
from console.api.models.accounts import Mail
from console.api.models.runs import Notification


class Told(Notification):
    """Who was told of which run."""

    id: int
    run_id: UUID
    job: str


class TryChannel(Asked):
    """Where a test message is to go."""

    target: Annotated[Line, Field(min_length=1, max_length=64)] = Field(
        description="`mail`, or a name of `CALLBOARD_NOTIFY_CHANNELS`."
    )
    to: Mail | None = Field(None, description="For mail: instead of the addresses of the alerts.")
    why: Why = ""


class Tried(Answer):
    """What became of one test message."""

    channel: str
    target: str
    error: str | None = Field(description="Null: it went.")


class TriedAll(Answer):
    """What became of each."""

    items: list[Tried]
