from __future__ import annotations

from tests.observability.alert_cases.case import Series, Table, flat, gap, rising, series

TABLE = Table()
story, spares, fires = TABLE.story, TABLE.spares, TABLE.fires

NAME = 'queue="mail"'
DAY = 24 * 60


def depth(state: str, *values: str, instance: str = "a:1") -> Series:
    return series("queue_depth", f'{NAME}, state="{state}"', *values, instance=instance)


def paused(*values: str) -> Series:
    return series("queue_paused", NAME, *values)


def attempts(*values: str) -> Series:
    return series("attempts_total", f'{NAME}, actor="send", outcome="success"', *values)


def limit(seconds: float, count: int = 90) -> Series:
    return series("queue_longest_time_limit_seconds", NAME, flat(seconds, count))


GOES_ON, NOT_PAUSED = paused(flat(0, 90)), flat(0, 90)

story(
    "QueueStalled", "critical",
    [GOES_ON, limit(600), depth("ready", flat(5, 60), flat(0, 20)), depth("claimed", flat(2, 60), flat(0, 20)),
     attempts(rising(0, 5, 20), flat(95, 40), rising(95, 5, 20))],
    quiet=25, firing=40, resolved=65, queue="mail", window="10m",
)  # fmt: skip
story(
    "QueueStalled", "critical",
    [paused(flat(0, 60)), limit(3600, 60), depth("ready", flat(5, 60)), depth("claimed", flat(0, 60)),
     attempts(rising(0, 5, 20), flat(95, 20), rising(95, 5, 20))],
    quiet=290, firing=390, resolved=420, step=10, queue="mail", window="2h",
)  # fmt: skip
spares("QueueStalled", "empty", [GOES_ON, limit(600), depth("ready", NOT_PAUSED), attempts(flat(7, 90))], 20, 40, 60)
spares(
    "QueueStalled", "paused, and just resumed",
    [paused(flat(1, 40), flat(0, 20)), limit(600), depth("ready", flat(5, 60)), attempts(flat(7, 60))],
    20, 39, 45,
)  # fmt: skip
spares(
    "QueueStalled", "one job that runs to its limit",
    [GOES_ON, limit(600), depth("ready", flat(0, 60)), depth("claimed", flat(0, 20), flat(1, 10), flat(0, 30)),
     attempts(flat(0, 30), flat(1, 30))],
    20, 25, 29, 31,
)  # fmt: skip
spares(
    "QueueStalled", "jobs of hours",
    [GOES_ON, limit(14_400), depth("ready", flat(5, 90)), depth("claimed", flat(2, 90)), attempts(flat(0, 90))],
    30, 60, 89,
)  # fmt: skip
spares(
    "QueueStalled", "a worker restarts",
    [GOES_ON, limit(600), depth("ready", flat(5, 60)), attempts(rising(100, 5, 20), rising(0, 5, 40))],
    15, 21, 30, 40,
)  # fmt: skip

spares(
    "QueueStalled", "Prometheus has just started",
    [GOES_ON, limit(600), depth("ready", "_x19", flat(1, 10), flat(0, 30)), attempts("_x19", flat(0, 10), flat(1, 30))],
    25, 28,
)  # fmt: skip
spares(
    "QueueStalled", "a job of an hour has just begun",
    [GOES_ON, limit(3600), depth("ready", "_x19", flat(1, 70)), attempts("_x19", flat(0, 70))], 50, 80,
)  # fmt: skip
for seconds, halted, why in ((3600, 1, "paused for hours"), (14_400, 0, "limits of four hours")):
    spares(
        "QueueStalled", why,
        [paused(flat(halted, 40)), limit(seconds, 40), depth("ready", flat(5, 40)), attempts(flat(0, 40))],
        200, 390, step=10,
    )  # fmt: skip

OLDEST, PROMISE = "queue_oldest_ready_age_seconds", "queue_max_age_seconds"
story(
    "QueueLatencyHigh", "critical",
    [GOES_ON, series(PROMISE, NAME, flat(300, 90)), series(OLDEST, NAME, flat(200, 20), flat(400, 20), flat(0, 20))],
    quiet=19, firing=30, resolved=41, queue="mail",
)  # fmt: skip
spares(
    "QueueLatencyHigh", "paused, and just resumed",
    [paused(flat(1, 30), flat(0, 30)), series(PROMISE, NAME, flat(300, 90)), series(OLDEST, NAME, rising(0, 60, 38))],
    20, 29, 38,
)  # fmt: skip
spares(
    "QueueLatencyHigh", "another promise, and an empty queue",
    [GOES_ON, series(PROMISE, NAME, flat(7200, 90)), series(OLDEST, NAME, flat(3000, 40), flat(0, 20))], 30, 50,
)  # fmt: skip
fires(
    "QueueLatencyHigh", "critical", "two exporters fire once",
    [GOES_ON, *(series(PROMISE, NAME, flat(300, 60), instance=each) for each in ("a:1", "b:1")),
     *(series(OLDEST, NAME, flat(400, 60), instance=each) for each in ("a:1", "b:1"))],
    20, queue="mail",
)  # fmt: skip

story(
    "QueueGrowing", "warning",
    [GOES_ON, depth("ready", flat(10, 20), rising(10, 30, 60), flat(0, 60))],
    quiet=19, firing=75, resolved=130, queue="mail",
)  # fmt: skip
spares("QueueGrowing", "a batch that is worked off", [GOES_ON, depth("ready", flat(0, 20), rising(9000, -100, 60))],
       30, 50, 75)  # fmt: skip
spares("QueueGrowing", "paused", [paused(flat(1, 90)), depth("ready", rising(0, 100, 90))], 60, 89)
spares(
    "QueueGrowing", "as much as a day ago",
    [paused(flat(0, 400)), depth("ready", *[f"{rising(0, 100, 60)} {flat(0, 84)}"] * 2)],
    DAY + 300, DAY + 590, step=10,
)  # fmt: skip

OVERDUE = "queue_oldest_delayed_overdue_seconds"
story("DelayedOverdue", "warning", [GOES_ON, series(OVERDUE, NAME, flat(5, 20), flat(200, 20), flat(0, 20))],
      quiet=19, firing=30, resolved=45, queue="mail")  # fmt: skip
spares("DelayedOverdue", "paused", [paused(flat(1, 60)), series(OVERDUE, NAME, rising(0, 60, 60))], 30, 50)

story("MessagesOrphaned", "warning", [depth("orphaned", flat(0, 20), flat(3, 20), flat(0, 20))],
      quiet=19, firing=35, resolved=45, queue="mail")  # fmt: skip
spares("MessagesOrphaned", "they go back", [depth("orphaned", flat(0, 20), flat(9, 8), flat(0, 20))],
       25, 29, 35)  # fmt: skip

CONSUMERS = "queue_consumers"
story(
    "NoConsumers", "critical",
    [GOES_ON, depth("ready", flat(2, 90)), series(CONSUMERS, NAME, flat(1, 20), flat(0, 20), flat(1, 20))],
    quiet=19, firing=30, resolved=41, queue="mail",
)  # fmt: skip
spares("NoConsumers", "empty: scaled to zero", [GOES_ON, depth("ready", flat(0, 60)), series(CONSUMERS, NAME,
       flat(0, 60))], 20, 50)  # fmt: skip
spares("NoConsumers", "paused", [paused(flat(1, 60)), depth("ready", flat(3, 60)), series(CONSUMERS, NAME,
       flat(0, 60))], 20, 50)  # fmt: skip
spares("NoConsumers", "the workers restart", [GOES_ON, depth("ready", flat(3, 60)), series(CONSUMERS, NAME,
       flat(1, 20), flat(0, 2), flat(1, 30))], 21, 22, 30)  # fmt: skip
spares("NoConsumers", "a scrape gap", [GOES_ON, depth("ready", flat(3, 60)), series(CONSUMERS, NAME, flat(1, 20),
       gap(5), flat(1, 30))], 22, 24, 30)  # fmt: skip

story(
    "QueuePausedLong", "warning",
    [paused(flat(0, 24), flat(1, 72), flat(0, 24)), depth("ready", flat(4, 120))],
    quiet=30 * 60, firing=60 * 60, resolved=100 * 60, step=60, queue="mail",
)  # fmt: skip
spares("QueuePausedLong", "with nothing in it", [paused(flat(1, 96)), depth("ready", flat(0, 96))], 90 * 60, step=60)
spares("QueuePausedLong", "for an afternoon", [paused(flat(0, 24), flat(1, 8), flat(0, 48)), depth("ready",
       flat(4, 90))], 30 * 60, 60 * 60, step=60)  # fmt: skip

CANARY = "canary_last_success_timestamp_seconds"
story(
    "CanaryFailed", "critical",
    [GOES_ON, series(CANARY, NAME, rising(0, 60, 20), flat(1140, 20), rising(2400, 60, 20))],
    quiet=19, firing=30, resolved=45, queue="mail",
)  # fmt: skip
spares("CanaryFailed", "paused, and just resumed", [paused(flat(1, 30), flat(0, 30)), series(CANARY, NAME,
       flat(0, 38), rising(2280, 60, 20))], 20, 35, 45)  # fmt: skip
spares("CanaryFailed", "just declared", [GOES_ON, series(CANARY, NAME, "_x19", flat(1200, 5))], 21, 24)

OUTBOX = "outbox_oldest_age_seconds"
story("OutboxStuck", "critical", [series(OUTBOX, "", flat(0, 20), rising(0, 60, 20), flat(0, 20))],
      quiet=24, firing=35, resolved=45)  # fmt: skip
spares("OutboxStuck", "a busy moment", [series(OUTBOX, "", flat(0, 20), flat(200, 20))], 30, 39)
