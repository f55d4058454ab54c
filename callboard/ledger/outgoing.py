"""Who is told that a run has ended: decided and written in the transaction that ends it, sent by a run of its own.

Whom                                     of which runs                     told what
addresses of `notify`, the job's own     all that it names                 every end
and those given when it was triggered
SYSTEM_JOBS_ALERT_EMAIL                  system runs: of recurring jobs,   by `system_jobs_alert_on`
CALLBOARD_NOTIFY_CHANNELS                and those asked for by hand       by `notify_channel_events`

Of scheduled runs that said there was nothing to do (`current_run().quiet()`) and of those of schedules that fire more
often than `system_jobs_alert_least_interval_seconds`, no completion is told; of the latter, one problem in that time.

In the transaction: a row of `board.notifications` for each target, and a pending run of `callboard_notify` that will
send it. After the commit `leave` enqueues these; what it cannot, the reconciler does. A run that nobody is told of
costs neither a statement nor a look at the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, cast

import structlog

from callboard.channel_urls import channels
from callboard.ledger import notifications, sending_runs
from callboard.ledger.facts import RunFacts
from callboard.ledger.sending_runs import NAME, QUEUE, leave
from callboard.ledger.wire import ERRORS, is_away, told_by
from callboard.outcome import Cancelled, Completed, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import Ending
    from callboard.ledger.wire import Cursor
    from callboard.settings import Settings

__all__ = ["NAME", "QUEUE", "Outgoing", "Target", "facts_of_row", "leave"]

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BY_HAND = ("manual:", "cli")
_EVENTS = {Completed: "completed", Failed: "failed", Cancelled: "cancelled"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a notification goes: an address, or the name of a channel; `fingerprint` is of that one's URL."""

    channel: str
    name: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class _News:
    facts: RunFacts
    event: str
    quiet: bool = False

    @property
    def completed(self) -> bool:
        return self.event == "completed"


class Outgoing:
    """Decides for one process who is told, and writes it. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        mails = tuple(Target("mail", address) for address in _addresses(settings.system_jobs_alert_email))
        known = channels(settings.notify_channels).values()
        others = tuple(Target(channel.kind, channel.name, channel.fingerprint) for channel in known)
        self._problems = mails + others
        self._completions = mails if settings.system_jobs_alert_on == "all" else ()
        self._completions += others if settings.notify_channel_events == "all" else ()
        self._least = settings.system_jobs_alert_least_interval_seconds

    def endings(self, cursor: Cursor, over: Sequence[Ending]) -> None:
        """Write who is told of these attempts, each of which has ended its run."""
        rows = [
            row
            for one in over
            if one.facts.notify or one.facts.job == NAME or (self._problems and _is_system(one.facts))
            for row in self._ended(cursor, one)
        ]
        if rows:
            self._write(cursor, rows, {one.facts.id: one.facts for one in over})

    def ended(self, connection: Connection, facts: RunFacts, event: str, *, error: str | None = None) -> None:
        """The same of a run that ended without an attempt, or whose worker is gone; `event` is its state."""
        cursor = cast("Cursor", connection.connection.cursor())
        if facts.job == NAME:
            _give_up(cursor, facts, error or event)
        rows = list(self._rows(_News(facts, event)))
        if rows:
            self._write(cursor, rows, {facts.id: facts})

    def channel_disabled(self, connection: Connection, name: str, told: RunFacts) -> None:
        """Write that the alert addresses are told that a channel gets nothing any more; `told` is the run it failed."""
        event = f"channel_disabled:{name}"
        rows = [_row(told, event, target) for target in self._problems if target.channel == "mail"]
        if rows:
            self._write(cast("Cursor", connection.connection.cursor()), rows, {told.id: told})

    def _ended(self, cursor: Cursor, ending: Ending) -> Iterator[dict[str, Any]]:
        outcome = ending.outcome
        if ending.facts.job != NAME:
            return self._rows(_News(ending.facts, _EVENTS[type(outcome)], ending.report.quiet))
        if not isinstance(outcome, Completed):
            _give_up(cursor, ending.facts, outcome.failure.error if isinstance(outcome, Failed) else "cancelled")
        return iter(())

    def _rows(self, news: _News) -> Iterator[dict[str, Any]]:
        facts, scheduled = news.facts, news.facts.trigger == "schedule"
        often = scheduled and facts.interval < self._least
        every = self._least if often else None
        dull = news.completed and (news.quiet or often)
        for target in self._targets(facts, news, asked=not (dull and scheduled), system=not dull):
            yield _row(facts, news.event, target) | {"every": every}

    def _targets(self, facts: RunFacts, news: _News, *, asked: bool, system: bool) -> dict[Target, None]:
        """As the keys of a dict: each once, in order."""
        found: list[Target] = []
        if asked:
            found += [Target("mail", address) for address in _addresses(facts.notify)]
        if system and _is_system(facts):
            found += self._completions if news.completed else self._problems
        return dict.fromkeys(found)

    @staticmethod
    def _write(cursor: Cursor, rows: Sequence[dict[str, Any]], told: dict[UUID, RunFacts]) -> None:
        """Write all of it or nothing: what Postgres does not take must not keep the runs themselves from ending."""
        try:
            with cursor.connection.transaction():  # a savepoint: the caller has begun one
                written = notifications.insert(cursor, rows)
                letters = sending_runs.write(cursor, [(number, told[run_id]) for number, run_id in written])
        except ERRORS as error:
            if is_away(error):
                raise
            logger.exception("notify.refused", error=told_by(error), runs=len(told))
        else:
            sending_runs.await_commit(letters)


def _row(facts: RunFacts, event: str, target: Target) -> dict[str, Any]:
    told = {"run_id": facts.id, "job": facts.job, "event": event}
    return told | {"channel": target.channel, "target": target.name, "fingerprint": target.fingerprint}


def facts_of_row(row: Mapping[str, Any] | RowMapping) -> RunFacts:
    """A run as its row tells it, as far as it matters who is told; `interval_seconds` is of its schedule, if any."""
    interval = row["interval_seconds"]
    return RunFacts(
        id=row["id"],
        created_at=row["created_at"],
        job=row["job"],
        queue=row["queue"],
        trigger=row["trigger"],
        correlation_id=row["correlation_id"],
        scope=row["scope"],
        args=row["args"] or {},
        notify=tuple(row["notify"] or ()),
        recurring=interval is not None,
        interval=float(interval or 0.0),
        project_id=row["project_id"],
    )


def _addresses(given: Sequence[str]) -> list[str]:
    """Plain addresses, each once: `Anna <Anna@example.org>` and `anna@example.org` are one."""
    plain = (parseaddr(text)[1] for text in given)
    return list(dict.fromkeys(address.lower() for address in plain if address))


def _is_system(facts: RunFacts) -> bool:
    if facts.project_id is not None or facts.job == NAME:
        return False
    return facts.recurring or facts.trigger.startswith(_BY_HAND)


def _give_up(cursor: Cursor, facts: RunFacts, error: str) -> None:
    number = facts.args.get("notification")
    if isinstance(number, int):
        notifications.give_up(cursor, number, error)
