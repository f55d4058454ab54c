"""A board behind an API; what it answers is read by the API's own models."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import UUID

from callboard.errors import CallboardError, LedgerUnavailable
from callboard.failure_retry import RetryResult
from callboard.ledger.pages import Page
from callboard.operations.letters import IssueShare, ReplayEvent, ReplayPlan
from callboard.views import story
from callboard.views.jobs import JobView
from callboard.views.look import Ended, Ledger, Look
from callboard.views.queues import Queues, QueueView
from callboard.views.replays import ReplayView
from callboard.views.schedules import ScheduleView, Tick
from callboard.views.workers import WorkerView
from callboard.waiting import Explanation, times
from cli import _times
from cli.board._accounts_remote import RemoteAccounts
from cli.board._http import Http
from cli.board._port import API, IssueTold, LetterTold
from console.api import models
from observability.snapshot import JobFacts, QueueFacts, ScheduleFacts, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from callboard.filters import Filter
    from callboard.operations.notifications import Tried
    from callboard.views.story import Story
    from cli.board._port import Letters

_MOST = 200
_MOST_BREAKERS = 1000
_Found = models.Listing[dict[str, Any]]
_MODELS: dict[str, type[models.Answer]] = {
    "runs": models.Run,
    "failures": models.Failure,
    "issues": models.Issue,
    "dead_letters": models.Letter,
    "audit": models.AuditEntry,
}


class Remote(RemoteAccounts):
    """Each act as whose the key is; for its meaning see the port."""

    def __init__(self, url: str, key: str) -> None:
        self._http = Http(url, key)

    # Runs

    def search(self, chosen: Filter, *, limit: int, cursor: str | None = None) -> Page:
        model = _MODELS[chosen.resource]
        return self._listed(_path(chosen), model, {"filter": chosen.text}, limit=limit, cursor=cursor)

    def _listed(
        self,
        path: Sequence[str],
        model: type[models.Answer],
        asked: dict[str, Any],
        *,
        limit: int,
        cursor: str | None = None,
    ) -> Page:
        rows = list[Any]()
        while True:
            given = asked | {"cursor": cursor, "limit": min(_MOST, limit - len(rows))}
            found = _Found.model_validate(self._http.get(*path, **given))
            rows += [model.model_validate(row).model_dump() for row in found.items]
            cursor = found.cursor
            if not found.has_more or len(rows) >= limit:
                return Page(rows, cursor, found.has_more, found.searched_until)

    def run(self, run_id: str) -> Mapping[Any, Any]:
        return models.RunStory.model_validate(self._http.get("runs", run_id)).model_dump()

    def story(self, run_id: str) -> Story:
        told, now = models.RunStory.model_validate(self._http.get("runs", run_id)), _times.now()
        run = told.model_dump()
        return story.Story(
            now=now,
            run=cast("RowMapping", run),
            waits=tuple(Explanation(**one) for one in run["waits"]),
            times=times(run, now),
            timeline=tuple(story.Moment(**one) for one in run["timeline"]),
            **{name: run[name] for name in _KIN},
        )

    def trigger(self, job: str, args: dict[str, Any], notify: tuple[str, ...]) -> UUID:
        body = {"job": job, "args": args, "notify": list(notify)}
        return UUID(self._http.post("jobs", "trigger", body=body)["id"])

    def cancel(self, run_id: UUID) -> Literal["cancelled", "requested"]:
        return models.Cancelled.model_validate(self._http.post("runs", run_id, "cancel")).state

    # Jobs, schedules, queues, workers

    def jobs(self) -> list[JobView]:
        return [JobView(**one.model_dump()) for one in models.Jobs.model_validate(self._http.get("jobs")).items]

    def schedules(self, *, everything: bool, ticks: int) -> list[ScheduleView]:
        found = models.Schedules.model_validate(self._http.get("schedules", all=everything, ticks=ticks))
        return [_schedule(one.model_dump()) for one in found.items]

    def change_schedule(self, job: str, act: Literal["pause", "resume"], why: str) -> None:
        self._http.post("schedules", job, act, body={"why": why})

    def queues(self) -> Queues:
        found = models.Queues.model_validate(self._http.get("queues"))
        return Queues([QueueView(**one.model_dump()) for one in found.items], found.broker_error)

    def change_queue(self, queue: str, act: Literal["pause", "resume"], why: str) -> None:
        self._http.post("queues", queue, act, body={"why": why})

    def limit_queue(self, queue: str, most: int | None, why: str) -> None:
        self._http.post("queues", queue, "limit", body={"limit": most, "why": why})

    def workers(self, *, everything: bool) -> list[WorkerView]:
        found = models.Workers.model_validate(self._http.get("workers", all=everything))
        return [WorkerView(**one.model_dump()) for one in found.items]

    # Breakers, notifications, and all of it at once

    def breakers(self, *, everything: bool, limit: int) -> Sequence[Mapping[Any, Any]]:
        found = self._http.get("breakers", all=everything, limit=min(_MOST_BREAKERS, limit))
        return [one.model_dump() for one in models.Breakers.model_validate(found).items]

    def reset_breaker(self, key: str, why: str) -> Mapping[Any, Any]:
        told = self._http.post("breakers", "reset", body={"key": key, "why": why})
        return models.Breaker.model_validate(told).model_dump()

    def notifications(self, *, state: str | None, since: datetime | None, limit: int) -> Sequence[Mapping[Any, Any]]:
        asked = {"state": state, "since": None if since is None else since.isoformat()}
        return self._listed(("notifications",), models.Told, asked, limit=limit).rows

    def try_channel(self, target: str, to: str | None) -> Sequence[Tried]:
        from callboard.operations.notifications import Tried  # noqa: PLC0415 - only this one needs the channels

        told = self._http.post("notifications", "test", body={"target": target, "to": to})
        return [Tried(**one.model_dump()) for one in models.TriedAll.model_validate(told).items]

    def look(self) -> Look:
        at = time.monotonic()
        try:
            now = models.Now.model_validate(self._http.get("now"))
        except LedgerUnavailable as error:
            return Look(_times.now(), at, Snapshot(), None, {API: str(error)})
        told = Snapshot(
            queues=tuple(QueueFacts(**one.model_dump()) for one in now.queues),
            schedules=tuple(ScheduleFacts(**one.model_dump()) for one in now.schedules),
            jobs=tuple(JobFacts(**one.model_dump()) for one in now.jobs),
        )
        return Look(now.moment, at, told, _ledger(now.ledger), now.down)

    # Failures and issues

    def failure(self, number: int) -> Mapping[Any, Any]:
        return models.FailureDetail.model_validate(self._http.get("failures", number)).model_dump()

    def retry(self, numbers: Sequence[int], *, why: str, force: bool) -> list[RetryResult]:
        body = {"ids": list(numbers), "why": why, "force": force}
        told = models.RetriedMany.model_validate(self._http.post("failures", "retry", body=body))
        return [RetryResult(**one.model_dump()) for one in told.items]

    def issue(self, number: int) -> IssueTold:
        told = models.IssueStory.model_validate(self._http.get("issues", number)).model_dump()
        return IssueTold(told, {name: told[name] for name in ("letters", "open_letters")}, told["failures"])

    def change_issue(self, number: int, act: Literal["resolve", "take", "reopen"], why: str) -> Mapping[Any, Any]:
        return models.Issue.model_validate(self._http.post("issues", number, act, body={"why": why})).model_dump()

    def silence(self, number: int, until: datetime | None, why: str) -> Mapping[Any, Any]:
        body = {"until": None if until is None else until.isoformat(), "why": why}
        return models.Issue.model_validate(self._http.post("issues", number, "silence", body=body)).model_dump()

    # Dead letters

    def letter(self, number: int) -> LetterTold:
        told = models.LetterStory.model_validate(self._http.get("dead-letters", number)).model_dump()
        return LetterTold(told, told["history"], told["lineage"])

    def plan(self, chosen: Letters) -> ReplayPlan:
        told = models.ReplayPlan.model_validate(self._http.post("dead-letters", "plan", body=_meant(chosen)))
        shares = tuple(IssueShare(**one.model_dump()) for one in told.by_issue)
        return ReplayPlan(**told.model_dump() | {"by_issue": shares})

    def letter_ids(self, chosen: Letters, most: int) -> list[int]:
        found = self._http.get("dead-letters", filter=_meant(chosen)["filter"], limit=_MOST)
        return [] if found["has_more"] else sorted(int(letter["id"]) for letter in found["items"])[:most]

    def replay(self, number: int, args: dict[str, Any] | None, why: str) -> UUID:
        return UUID(self._http.post("dead-letters", number, "replay", body={"args": args, "why": why})["id"])

    def replay_many(self, chosen: Letters, *, why: str, **pace: Any) -> Iterator[ReplayEvent]:  # noqa: ANN401 - the port's
        lines = self._http.lines("dead-letters", "replay", body={**_meant(chosen), "why": why, **pace})
        with closing(lines):  # a replay ends with whoever reads it
            for line in lines:
                event = models.ReplayEvent.model_validate(line)
                if event.result == "error":
                    raise CallboardError(event.detail)
                yield ReplayEvent(**event.model_dump())

    def start_replay(self, chosen: Letters, *, why: str, **pace: Any) -> ReplayView:  # noqa: ANN401 - the port's
        told = models.BulkReplay.model_validate(self._http.post("replays", body={**_meant(chosen), "why": why, **pace}))
        return ReplayView(**told.model_dump())

    def discard(self, number: int, why: str) -> None:
        self._http.post("dead-letters", number, "discard", body={"why": why})

    def discard_many(self, chosen: Letters, why: str) -> int:
        return int(self._http.post("dead-letters", "discard", body={**_meant(chosen), "why": why})["discarded"])


_KIN = ("failures", "children", "parent", "letter", "replayed_from", "tokens", "notifications")


def _path(chosen: Filter) -> tuple[str, ...]:
    """Of the audit of one team, that team's own: who manages it may read no other."""
    teams = chosen.values("team") if chosen.resource == "audit" else None
    return ("teams", *teams, "audit") if teams and len(teams) == 1 else (chosen.resource.replace("_", "-"),)


def _meant(chosen: Letters) -> dict[str, str]:
    """All open ones have to be said: the API takes no empty filter for what changes letters."""
    return {"filter": chosen.text or "state:open"}


def _ledger(told: models.NowLedger | None) -> Ledger | None:
    if told is None:
        return None
    ended = {job: Ended(**one.model_dump()) for job, one in told.ended.items()}
    rows = told.model_dump()
    return Ledger(ended, rows["running"], rows["workers"], told.scheduler, told.critical)


def _schedule(told: dict[str, Any]) -> ScheduleView:
    ticks = [Tick(**tick) for tick in told.pop("last_ticks")]
    return ScheduleView(**told, ticks=ticks)
