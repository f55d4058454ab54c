"""What commands ask of a board, wherever it is. Rows are mappings with the columns of the ledger's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from cli.board._accounts_port import Accounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from callboard.failure_retry import RetryResult
    from callboard.filters import Filter
    from callboard.ledger.pages import Page
    from callboard.operations.letters import ReplayEvent, ReplayPlan
    from callboard.operations.notifications import Tried
    from callboard.views.jobs import JobView
    from callboard.views.look import Look
    from callboard.views.queues import Queues
    from callboard.views.replays import ReplayView
    from callboard.views.schedules import ScheduleView
    from callboard.views.story import Story
    from callboard.views.workers import WorkerView


#: What is down in a look when the API itself does not answer; the others are those of `observability.snapshot`.
API = "api"


class Letters(Protocol):
    """Which dead letters are meant: what `text` says in the language of filters."""

    @property
    def text(self) -> str: ...


class IssueTold(NamedTuple):
    """An issue, how many dead letters it left (`letters`, `open_letters`), and its last failures."""

    issue: Mapping[Any, Any]
    letters: Mapping[Any, Any]
    failures: Sequence[Mapping[Any, Any]]


class LetterTold(NamedTuple):
    """A dead letter, its failed attempts, and the letters it came of and that came of it."""

    letter: Mapping[Any, Any]
    history: Sequence[Mapping[Any, Any]]
    lineage: Sequence[Mapping[Any, Any]]


class Board(Accounts, Protocol):
    """A board. What it refuses is a `CallboardError`."""

    def search(self, chosen: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """Rows that a filter matches, newest first."""

    def run(self, run_id: str) -> Mapping[Any, Any]:
        """The run of that id, or whose id begins so."""

    def story(self, run_id: str) -> Story:
        """All that is known of it."""

    def trigger(self, job: str, args: dict[str, Any], notify: tuple[str, ...]) -> UUID:
        """Ask for a run; its id."""

    def cancel(self, run_id: UUID) -> Literal["cancelled", "requested"]:
        """Cancel a run."""

    def jobs(self) -> list[JobView]:
        """The declared jobs."""

    def schedules(self, *, everything: bool, ticks: int) -> list[ScheduleView]:
        """The schedules with their last ticks."""

    def change_schedule(self, job: str, act: Literal["pause", "resume"], why: str) -> None:
        """Pause one, or let it go on."""

    def queues(self) -> Queues:
        """What waits where."""

    def change_queue(self, queue: str, act: Literal["pause", "resume"], why: str) -> None:
        """Pause one, or let it go on."""

    def limit_queue(self, queue: str, most: int | None, why: str) -> None:
        """Bound how much of it runs at once."""

    def workers(self, *, everything: bool) -> list[WorkerView]:
        """Who works."""

    def breakers(self, *, everything: bool, limit: int) -> Sequence[Mapping[Any, Any]]:
        """Circuit breakers, those that are open for longest first."""

    def reset_breaker(self, key: str, why: str) -> Mapping[Any, Any]:
        """Close one; its row."""

    def notifications(self, *, state: str | None, since: datetime | None, limit: int) -> Sequence[Mapping[Any, Any]]:
        """Who was told of what, newest first."""

    def try_channel(self, target: str, to: str | None) -> Sequence[Tried]:
        """Send test messages; what became of each."""

    def look(self) -> Look:
        """Everything at this moment; what does not answer is told as down."""

    def failure(self, number: int) -> Mapping[Any, Any]:
        """One failure, traceback and all."""

    def retry(self, numbers: Sequence[int], *, why: str, force: bool) -> list[RetryResult]:
        """Run failed runs again."""

    def issue(self, number: int) -> IssueTold:
        """One issue."""

    def change_issue(self, number: int, act: Literal["resolve", "take", "reopen"], why: str) -> Mapping[Any, Any]:
        """Change where it stands; its row."""

    def silence(self, number: int, until: datetime | None, why: str) -> Mapping[Any, Any]:
        """Silence it until then, or no longer; its row."""

    def letter(self, number: int) -> LetterTold:
        """One dead letter, without its message."""

    def plan(self, chosen: Letters) -> ReplayPlan:
        """What a replay would do."""

    def letter_ids(self, chosen: Letters, most: int) -> list[int]:
        """Ids of the open letters that are meant, oldest first; none where they are too many to be told."""

    def replay(self, number: int, args: dict[str, Any] | None, why: str) -> UUID:
        """Replay one; the new run's id."""

    def replay_many(
        self,
        chosen: Letters,
        *,
        why: str,
        rate: float | None,
        canary: bool,
        stop_on_same: bool,
        limit: int | None,
    ) -> Iterator[ReplayEvent]:
        """Replay all that are meant, one event for each."""

    def start_replay(
        self,
        chosen: Letters,
        *,
        why: str,
        rate: float | None,
        canary: bool,
        stop_on_same: bool,
        limit: int | None,
    ) -> ReplayView:
        """Let the workers replay all that are meant; what was asked for."""

    def discard(self, number: int, why: str) -> None:
        """Give one up."""

    def discard_many(self, chosen: Letters, why: str) -> int:
        """Give all up that are meant; how many there were."""
