"""What a replay would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.compose import get_broker
from callboard.ledger import dead_letters
from callboard.ledger.database import transaction
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from callboard.ledger.dead_letters import Choice

_MOST_ISSUES = 100


@dataclass(frozen=True, slots=True)
class IssueShare:
    """How many of the letters are of one issue."""

    id: int
    title: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Which letters a filter means.

    Attributes:
        count: Open letters that fit.
        by_job: Of each job, most first.
        by_issue: Of the 100 issues that have most, most first.
        oldest: When the first of them died; None when there is none.
        newest: When the last of them died.
        unknown_jobs: Letters of jobs that no loaded module declares: these would be refused.
        single_conflicts: Letters of single jobs that would be refused now, because a run of their scope is pending or
            running, or an older letter of it goes first.
    """

    count: int
    by_job: Mapping[str, int]
    by_issue: tuple[IssueShare, ...]
    oldest: datetime | None
    newest: datetime | None
    unknown_jobs: Mapping[str, int]
    single_conflicts: Mapping[str, int]


def plan(chosen: Choice) -> ReplayPlan:
    """Count the open letters that fit; nothing is changed."""
    actors = get_broker().actors
    with transaction() as connection:
        jobs = dead_letters.by_job(connection, chosen)
        counts = {one["job"]: one["count"] for one in jobs}
        single = [name for name in counts if name in actors and spec_of(actors[name]).is_single]
        conflicts = dead_letters.conflicts(connection, chosen, single) if single else {}
        issues = dead_letters.by_issue(connection, chosen, most=_MOST_ISSUES)
    return ReplayPlan(
        count=sum(counts.values()),
        by_job=counts,
        by_issue=tuple(IssueShare(**one) for one in issues),
        oldest=min((one["oldest"] for one in jobs), default=None),
        newest=max((one["newest"] for one in jobs), default=None),
        unknown_jobs={name: count for name, count in counts.items() if name not in actors},
        single_conflicts=conflicts,
    )
