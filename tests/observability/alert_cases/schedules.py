from __future__ import annotations

from tests.observability.alert_cases.case import Series, Table, flat, gap, rising, series

TABLE = Table()
story, spares, fires = TABLE.story, TABLE.spares, TABLE.fires

NAME = 'schedule="nightly"'


def schedule(
    *success: str, created: str = "", tier: str = "page", max_age: float = 600, enabled: str = "", owner: str = "ops"
) -> list[Series]:
    """A schedule for an hour; without a success, only the moment of its declaration is known."""
    full = f'{NAME}, actor="nightly", tier="{tier}"'
    given = [
        series("schedule_max_age_seconds", NAME, flat(max_age, 90)),
        series("schedule_enabled", NAME, enabled or flat(1, 90)),
        series("schedule_info", f'{full}, queue="slow", cron="x", timezone="UTC", owner="{owner}"', flat(1, 90)),
        series("schedule_created_timestamp_seconds", full, created or flat(0, 90)),
    ]
    return given + ([series("schedule_last_success_timestamp_seconds", full, *success)] if success else [])


def labels(tier: str = "page", **more: str) -> dict[str, str]:
    return {"schedule": "nightly", "actor": "nightly", "tier": tier, "queue": "slow", "owner": "ops"} | more


story(
    "ScheduleOverdue", "critical", schedule(flat(0, 30), flat(1800, 30)),
    quiet=9, firing=20, resolved=31, **labels(),
)  # fmt: skip
story(
    "ScheduleOverdue", "warning", schedule(flat(0, 30), flat(1800, 30), tier="ticket"),
    quiet=9, firing=20, resolved=31, **labels("ticket"),
)  # fmt: skip
fires("ScheduleOverdue", "critical", "never ran", schedule(), 20, **labels())
fires(
    "ScheduleOverdue", "critical", "two exporters fire once",
    [*schedule(flat(0, 60)), series("schedule_max_age_seconds", NAME, flat(600, 60), instance="b:1"),
     series("schedule_last_success_timestamp_seconds", f'{NAME}, actor="nightly", tier="page"', flat(0, 60),
            instance="b:1"),
     series("schedule_enabled", NAME, flat(1, 60), instance="b:1"),
     series("schedule_info", f'{NAME}, actor="nightly", tier="page", queue="slow", cron="x", timezone="UTC", '
            'owner="another"', gap(1), instance="b:1")],
    20, **labels(),
)  # fmt: skip
fires(
    "ScheduleOverdue", "critical", "no owner is known",
    [each for each in schedule(flat(0, 60)) if "schedule_info" not in each[0]],
    20, schedule="nightly", actor="nightly", tier="page",
)  # fmt: skip
spares("ScheduleOverdue", "disabled", schedule(flat(0, 60), enabled=flat(0, 60)), 20, 40)
spares("ScheduleOverdue", "just declared", schedule(created=f"_x19 {flat(1200, 40)}"), 20, 25, 29)
spares("ScheduleOverdue", "just resumed", schedule(flat(0, 60), enabled=f"{flat(0, 30)} {flat(1, 30)}"), 31, 39)
spares(
    "ScheduleOverdue", "one of two exporters is behind",
    [*schedule(rising(0, 60, 60)),
     series("schedule_last_success_timestamp_seconds", f'{NAME}, actor="nightly", tier="page"', flat(0, 60),
            instance="b:1")],
    20, 40,
)  # fmt: skip
spares("ScheduleOverdue", "a scrape gap", schedule(f"{flat(0, 9)} {gap(3)} {flat(600, 9)}"), 10, 11, 12, 15)
spares("ScheduleOverdue", "a long cadence", schedule(flat(0, 60), max_age=7200), 30, 59)

FAILURES = "schedule_consecutive_failures"
story(
    "ScheduleFailing", "warning",
    [*schedule(flat(0, 60)), series(FAILURES, NAME, flat(2, 10), flat(3, 10), flat(0, 10))],
    quiet=5, firing=15, resolved=25, schedule="nightly", queue="slow", owner="ops",
)  # fmt: skip
spares("ScheduleFailing", "disabled", [*schedule(enabled=flat(0, 60)), series(FAILURES, NAME, flat(5, 60))], 30)

MISSED = "schedule_missed_total"
story(
    "ScheduleMissedRuns", "warning",
    [*schedule(flat(0, 90)), series(MISSED, f'{NAME}, reason="late"', flat(0, 10), flat(2, 80))],
    quiet=5, firing=15, resolved=60, schedule="nightly", queue="slow", owner="ops",
)  # fmt: skip
fires(
    "ScheduleMissedRuns", "warning", "two exporters fire once",
    [*schedule(flat(0, 90)), *(series(MISSED, f'{NAME}, reason="scheduler_down"', flat(0, 10), flat(2, 80),
                                      instance=each) for each in ("a:1", "b:1"))],
    15, schedule="nightly", queue="slow", owner="ops",
)  # fmt: skip
spares(
    "ScheduleMissedRuns", "paused, or still at it",
    [*schedule(flat(0, 90)), series(MISSED, f'{NAME}, reason="overlap"', rising(0, 1, 60)),
     series(MISSED, f'{NAME}, reason="disabled"', rising(0, 1, 60))],
    15, 45,
)  # fmt: skip
spares(
    "ScheduleMissedRuns", "the exporter starts with old misses",
    [*schedule(flat(0, 90)), series(MISSED, f'{NAME}, reason="late"', "_x9", flat(7, 60))], 10, 20,
)  # fmt: skip

DAY = 24 * 60
story(
    "SchedulePausedLong", "info",
    [series("schedule_enabled", NAME, flat(1, 24), flat(0, 10 * 24), flat(1, 24)),
     series("schedule_max_age_seconds", NAME, flat(600, 12 * 24))],
    quiet=5 * DAY, firing=10 * DAY, resolved=11 * DAY + 120, step=60, schedule="nightly",
)  # fmt: skip
spares(
    "SchedulePausedLong", "it fires once in a while",
    [series("schedule_enabled", NAME, " ".join([flat(0, 72), flat(1, 2)] * 4)),
     series("schedule_max_age_seconds", NAME, flat(600, 12 * 24))],
    8 * DAY, 10 * DAY, step=60,
)  # fmt: skip

TICK, LEADER = "scheduler_last_tick_timestamp_seconds", "scheduler_leader"
ALIVE = rising(0, 60, 10)
story(
    "SchedulerDown", "critical",
    [series(TICK, "", ALIVE, flat(540, 20), rising(1800, 60, 20)), series(LEADER, "", flat(1, 50))],
    quiet=9, firing=20, resolved=35,
)  # fmt: skip
story(
    "SchedulerDown", "critical",
    [series(TICK, "", ALIVE, gap(10), rising(1200, 60, 20)), series(LEADER, "", flat(1, 10), gap(10), flat(1, 20))],
    quiet=9, firing=14, resolved=25,
)  # fmt: skip
fires(
    "SchedulerDown", "critical", "nobody leads",
    [series(TICK, "", rising(0, 60, 30)), series(LEADER, "", flat(0, 30))], 10,
)  # fmt: skip
spares(
    "SchedulerDown", "a scrape gap",
    [series(TICK, "", ALIVE, gap(1), rising(660, 60, 20)), series(LEADER, "", flat(1, 10), gap(1), flat(1, 20))],
    10, 11, 12, 13,
)  # fmt: skip
spares(
    "SchedulerDown", "a standby takes over",
    [series(TICK, "", ALIVE, gap(10)), series(LEADER, "", flat(1, 10), gap(10)),
     series(TICK, "", rising(0, 60, 40), instance="b:1"), series(LEADER, "", flat(0, 11), flat(1, 29), instance="b:1")],
    9, 12, 15, 30,
)  # fmt: skip

story(
    "SchedulerDuplicated", "warning",
    [series(LEADER, "", flat(1, 40)), series(LEADER, "", flat(0, 10), flat(1, 10), flat(0, 20), instance="b:1")],
    quiet=9, firing=17, resolved=25,
)  # fmt: skip
spares(
    "SchedulerDuplicated", "a change of leaders, and a standby",
    [series(LEADER, "", flat(1, 12), flat(0, 28)), series(LEADER, "", flat(0, 10), flat(1, 30), instance="b:1")],
    11, 15, 30,
)  # fmt: skip
