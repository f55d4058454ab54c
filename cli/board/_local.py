"""The board of this machine's settings: its ledger and its broker."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from callboard import filters
from callboard.errors import DeclarationError
from callboard.ledger import audit, breakers, dead_letters, failures, issues, listing, notifications, pages
from callboard.ledger.database import transaction
from callboard.loading import load_actors
from callboard.operations import breakers as breaker_acts
from callboard.operations import failures as failure_acts
from callboard.operations import issues as issue_acts
from callboard.operations import letters as letter_acts
from callboard.operations import queues as queue_acts
from callboard.operations import replays as replay_acts
from callboard.operations import runs as run_acts
from callboard.operations import schedules as schedule_acts
from callboard.settings import get_settings
from callboard.views import jobs, look, queues, replays, schedules, story, workers
from cli import _times
from cli._errors import explain
from cli._options import who
from cli.board._accounts_local import LocalAccounts
from cli.board._port import IssueTold, LetterTold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import RowMapping

    from callboard.failure_retry import RetryResult
    from callboard.filters import Filter
    from callboard.ledger.dead_letters import Choice
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
    from cli.board._port import Letters


class Local(LocalAccounts):
    """Each act as the person at the keyboard; for its meaning see the port."""

    # Runs

    def search(self, chosen: Filter, *, limit: int, cursor: str | None = None) -> Page:
        with transaction() as connection:
            found = pages.search(connection, chosen, cursor=cursor, limit=limit)
            if chosen.resource == "audit":
                return replace(found, rows=cast("list[RowMapping]", audit.named(connection, found.rows)))
        return found

    def run(self, run_id: str) -> Mapping[Any, Any]:
        with transaction() as connection:
            return listing.run(connection, run_id)

    def story(self, run_id: str) -> Story:
        with suppress(DeclarationError):  # a page is wanted most when something is broken; the row tells the limit too
            _load()
        with transaction() as connection:
            return story.tell(connection, run_id, now=_times.now())

    def trigger(self, job: str, args: dict[str, Any], notify: tuple[str, ...]) -> UUID:
        _load()
        return run_acts.trigger(job, args, who=who(), notify=notify).id

    def cancel(self, run_id: UUID) -> Literal["cancelled", "requested"]:
        return run_acts.cancel(run_id, who=who())

    # Jobs, schedules, queues, workers

    def jobs(self) -> list[JobView]:
        _load()
        return jobs.listing(now=_times.now())

    def schedules(self, *, everything: bool, ticks: int) -> list[ScheduleView]:
        _load()
        with transaction() as connection:
            return schedules.listing(connection, now=_times.now(), everything=everything, ticks=ticks)

    def change_schedule(self, job: str, act: Literal["pause", "resume"], why: str) -> None:
        {"pause": schedule_acts.pause, "resume": schedule_acts.resume}[act](job, who=who(), why=why)

    def queues(self) -> Queues:
        _load()
        return queues.listing()

    def change_queue(self, queue: str, act: Literal["pause", "resume"], why: str) -> None:
        _load()
        {"pause": queue_acts.pause, "resume": queue_acts.resume}[act](queue, who=who(), why=why)

    def limit_queue(self, queue: str, most: int | None, why: str) -> None:
        _load()
        queue_acts.limit(queue, most, who=who(), why=why)

    def workers(self, *, everything: bool) -> list[WorkerView]:
        with transaction() as connection:
            return workers.listing(connection, now=_times.now(), everything=everything)

    # Breakers, notifications, and all of it at once

    def breakers(self, *, everything: bool, limit: int) -> Sequence[Mapping[Any, Any]]:
        with transaction() as connection:
            return breakers.listing(connection, unwell=not everything, limit=limit)

    def reset_breaker(self, key: str, why: str) -> Mapping[Any, Any]:
        return breaker_acts.reset(key, who=who(), why=why)

    def notifications(self, *, state: str | None, since: datetime | None, limit: int) -> Sequence[Mapping[Any, Any]]:
        with transaction() as connection:
            return notifications.listing(connection, state=state, since=since, limit=limit)

    def try_channel(self, target: str, to: str | None) -> Sequence[Tried]:
        from callboard.operations.notifications import try_out  # noqa: PLC0415 - only this one needs the channels

        return try_out(target, to, who=who())

    def look(self) -> Look:
        return look.look(lambda error: explain(error)[0])

    # Failures and issues

    def failure(self, number: int) -> Mapping[Any, Any]:
        with transaction() as connection:
            return failures.get(connection, number)

    def retry(self, numbers: Sequence[int], *, why: str, force: bool) -> list[RetryResult]:
        _load()
        return failure_acts.retry(numbers, who=who(), why=why, force=force)

    def issue(self, number: int) -> IssueTold:
        with transaction() as connection:
            found = issues.get(connection, number)
            letters = issues.letters(connection, number)
            return IssueTold(found, letters, issues.latest_failures(connection, number))

    def change_issue(self, number: int, act: Literal["resolve", "take", "reopen"], why: str) -> Mapping[Any, Any]:
        acts = {"resolve": issue_acts.resolve, "take": issue_acts.take, "reopen": issue_acts.reopen}
        return acts[act](number, who=who(), why=why)

    def silence(self, number: int, until: datetime | None, why: str) -> Mapping[Any, Any]:
        return issue_acts.silence(number, until, who=who(), why=why)

    # Dead letters

    def letter(self, number: int) -> LetterTold:
        with transaction() as connection:
            found = dead_letters.get(connection, number)
            history = dead_letters.history(connection, found)
            return LetterTold(found, history, dead_letters.lineage(connection, number))

    def plan(self, chosen: Letters) -> ReplayPlan:
        _load()
        return letter_acts.plan(_choice(chosen))

    def letter_ids(self, chosen: Letters, most: int) -> list[int]:
        with transaction() as connection:
            return dead_letters.ids(connection, _choice(chosen), limit=most)

    def replay(self, number: int, args: dict[str, Any] | None, why: str) -> UUID:
        _load()
        return letter_acts.replay(number, who=who(), why=why, args=args).id

    def replay_many(self, chosen: Letters, *, why: str, **pace: Any) -> Iterator[ReplayEvent]:  # noqa: ANN401 - the port's
        _load()
        return letter_acts.replay_many(_choice(chosen), who=who(), why=why, **pace)

    def start_replay(self, chosen: Letters, *, why: str, **pace: Any) -> ReplayView:  # noqa: ANN401 - the port's
        _load()
        return replays.get(replay_acts.start(_choice(chosen), who=who(), why=why, **pace))

    def discard(self, number: int, why: str) -> None:
        letter_acts.discard(number, who=who(), why=why)

    def discard_many(self, chosen: Letters, why: str) -> int:
        return letter_acts.discard_many(_choice(chosen), who=who(), why=why)


def _load() -> None:
    load_actors(get_settings())


def _choice(chosen: Letters) -> Choice:
    """The letters, as queries take them."""
    return cast("Choice", chosen) if hasattr(chosen, "where") else filters.parse(chosen.text, "dead_letters")
