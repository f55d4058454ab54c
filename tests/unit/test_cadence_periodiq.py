"""Our cadences inside periodiq's own scheduler: its `schedule()` runs unchanged, only its clock and sleep are ours."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dramatiq
import pendulum
import periodiq
import pytest
from dramatiq.brokers.stub import StubBroker

from callboard.cadence import Cadence, cron, every

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dramatiq.broker import Broker

WAKE_UP = timedelta(milliseconds=3)  # sleeps and alarms are never early, and a little late


class Host:
    """A host whose time passes only while periodiq sleeps."""

    def __init__(self, now: datetime, zone: str) -> None:
        self.moment = now
        self.zone = zone

    def now(self) -> pendulum.DateTime:
        return pendulum.instance(self.moment).in_timezone(self.zone)

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds) + WAKE_UP

    def alarm(self, seconds: int) -> None:
        self.moment += timedelta(seconds=seconds) + WAKE_UP


class Sent(dramatiq.Middleware):
    """The `scheduled_at` of all messages, by actor, to the second and in UTC."""

    def __init__(self) -> None:
        self.moments: dict[str, list[datetime]] = defaultdict(list)

    def before_enqueue(self, broker: Broker, message: dramatiq.Message[Any], delay: int | None) -> None:  # noqa: ARG002
        moment = datetime.fromisoformat(message.options["scheduled_at"])
        self.moments[message.actor_name].append(moment.astimezone(UTC))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, list[datetime]]]]:
    """Runs periodiq's loop over a stretch of simulated time, and returns what it sent."""
    broker, sent = StubBroker(middleware=[periodiq.PeriodiqMiddleware()]), Sent()
    broker.add_middleware(sent)

    def loop(
        cadences: dict[str, Cadence], start: datetime, end: datetime, zone: str = "UTC"
    ) -> dict[str, list[datetime]]:
        host = Host(start, zone)
        monkeypatch.setattr(periodiq, "pendulum", SimpleNamespace(now=host.now))
        monkeypatch.setattr(periodiq, "sleep", host.sleep)
        monkeypatch.setattr(periodiq, "alarm", host.alarm)
        monkeypatch.setattr(periodiq, "signal", lambda *_: None)
        scheduler = periodiq.Scheduler([declare(name, cadence, broker) for name, cadence in cadences.items()])
        while host.moment <= end:
            scheduler.schedule()
        return sent.moments

    yield loop
    broker.close()


def declare(name: str, cadence: Cadence, broker: Broker) -> dramatiq.Actor[[], None]:
    @dramatiq.actor(actor_name=name, broker=broker, periodic=cadence)
    def job() -> None:
        raise AssertionError("nothing works this queue off")

    return job


SPECS = ["0 0 * * 0", "@weekly", "0 6 * * sun", "*/15 9-17 * * 1-5", "30 2 * * *", "* 19 * * *", "0 0 1,15 * mon"]


def expected(cadences: dict[str, Cadence], start: datetime, end: datetime) -> dict[str, list[datetime]]:
    return {name: list(cadence.between(start, end)) for name, cadence in cadences.items()}


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York"])
def test_a_month_of_periodiqs_loop_loses_and_doubles_nothing(run: Callable[..., Any], zone: str) -> None:
    """Over both clock changes of spring 2026, New York's on 8 March and Europe's on the 29th."""
    cadences: dict[str, Cadence] = {f"job{number}": cron(spec) for number, spec in enumerate(SPECS)}
    start, end = datetime(2026, 3, 3, 11, 7, 31, tzinfo=UTC), datetime(2026, 4, 3, tzinfo=UTC)
    assert run(cadences, start, end, zone) == expected(cadences, start, end)


def test_a_lone_weekly_job_is_woken_for(run: Callable[..., Any]) -> None:
    """With restricted specs only, periodiq's own arithmetic enters their windows late, or never."""
    cadences: dict[str, Cadence] = {"weekly": cron("@weekly")}
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    sent = run(cadences, start, end)
    assert sent == expected(cadences, start, end)
    assert len(sent["weekly"]) == 52


def test_cadences_below_a_minute_share_the_loop_with_specs(run: Callable[..., Any]) -> None:
    cadences: dict[str, Cadence] = {"poll": every(3), "tick": every(1), "minutely": cron("* * * * *")}
    start, end = datetime(2026, 11, 22, 9, 59, 58, tzinfo=UTC), datetime(2026, 11, 22, 10, 10, tzinfo=UTC)
    sent = run(cadences, start, end)
    assert sent == expected(cadences, start - timedelta(seconds=1), end - timedelta(seconds=1))
    assert {name: len(moments) for name, moments in sent.items()} == {"poll": 200, "tick": 602, "minutely": 10}


def test_next_valid_date_is_a_moment_periodiq_can_subtract_from() -> None:
    now = pendulum.datetime(2026, 11, 22, 12, 0, 0, 500_000, tz="Europe/Paris")
    due = cron("*/5 * * * *").next_valid_date(now)
    assert isinstance(due, pendulum.DateTime)
    assert (due - now).total_seconds() == 299.5
    assert due.timezone_name in {"UTC", "+00:00"}
