"""Bulk replays that are left to the workers."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Time


class BulkReplay(Answer):
    """One bulk replay: what was asked for, how far it is, and how it ended."""

    id: int
    run_id: UUID = Field(description="The run that does it: its log and what it waits for; cancel it to stop.")
    filter: str
    who: str
    why: str
    rate: float | None
    canary: bool
    stop_on_same: bool
    limit: int | None
    total: int = Field(description="Letters that fitted when it was asked for, at most `limit`.")
    replayed: int
    refused: int = Field(description="Letters that stayed open, because they could not be replayed.")
    left: int | None = Field(description="Letters left as they were, where it ended early.")
    refusals: list[str] = Field(description="Why, of the first ones that were refused.")
    first_run_id: UUID | None = Field(description="Of the first letter; the canary, where one was asked for.")
    canary_ok: bool
    state: Literal["pending", "running", "stopping", "done", "stopped", "failed"]
    result: Literal["done", "stopped", "canary_failed", "same_failure"] | None
    detail: str = Field(description="Why it ended early, or does not go on.")
    created_at: Time
    ended_at: Time | None


class BulkReplays(Answer):
    """Some of them, the newest first."""

    items: list[BulkReplay]
