"""What every model has: nothing undeclared comes out, times are UTC."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

T = TypeVar("T")


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


#: A moment, in UTC.
Time = Annotated[datetime, AfterValidator(_utc)]
#: Names of the columns or arguments of somebody's job: any JSON.
Json = dict[str, Any]
#: Postgres keeps no NUL, so none is taken.
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
Why = Annotated[Line, Field(description="The reason; it stands in the audit log.")]
SearchedUntil = Annotated[
    Time | None,
    Field(description="How far back a search looked that stopped before its end; its cursor goes on from there."),
]


class Answer(BaseModel):
    """What the API answers: built from a row or a dataclass, and only what it declares comes out."""

    model_config = ConfigDict(from_attributes=True, extra="ignore", populate_by_name=True)


class Asked(BaseModel):
    """What the API is asked: a misspelt field is refused instead of being ignored."""

    model_config = ConfigDict(extra="forbid")


class Listing(Answer, Generic[T]):
    """One page of a list, newest first."""

    items: list[T]
    cursor: str | None = Field(description="Give it as `cursor` for the next page; null: this is the last.")
    has_more: bool
    searched_until: SearchedUntil = None


class Counted(Answer):
    """How many rows a filter matches."""

    number: int
    exact: bool = Field(description="False: it is an estimate; counting on would be slow.")


class CountedListing(Listing[T], Generic[T]):
    """One page of a list, and, where asked for with `count=true`, how many rows the filter matches in all."""

    count: Counted | None = None


class Reason(Asked):
    """Why something is done."""

    why: Why = ""


class Done(Answer):
    """It was done."""

    done: bool = True
