"""What a replay would do, without doing it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from callboard.compose import get_broker
from callboard.ledger import dead_letters
from callboard.ledger.database import transaction
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from callboard.ledger.dead_letters import Choice

Key = TypeVar("Key")


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
        by_issue: Of each issue, most first.
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
        shares = dead_letters.shares(connection, chosen)
        by_job = _folded((share["job"], share["count"]) for share in shares)
        single = [name for name in by_job if name in actors and spec_of(actors[name]).is_single]
        conflicts = dead_letters.conflicts(connection, chosen, single) if single else {}
        issues = dead_letters.issues(connection, {share["issue_id"] for share in shares if share["issue_id"]})
    by_issue = _folded((share["issue_id"], share["count"]) for share in shares if share["issue_id"] in issues)
    return ReplayPlan(
        count=sum(by_job.values()),
        by_job=by_job,
        by_issue=tuple(IssueShare(one, issues[one]["title"], issues[one]["status"], n) for one, n in by_issue.items()),
        oldest=min((share["oldest"] for share in shares), default=None),
        newest=max((share["newest"] for share in shares), default=None),
        unknown_jobs={name: count for name, count in by_job.items() if name not in actors},
        single_conflicts=conflicts,
    )


def _folded(counts: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """Summed by key, most first."""
    total: Counter[Key] = Counter()
    for key, count in counts:
        total[key] += count
    return dict(total.most_common())
