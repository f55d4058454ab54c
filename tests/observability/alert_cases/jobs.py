from __future__ import annotations

from tests.observability.alert_cases.case import Series, Table, flat, rising, series

TABLE = Table()
story, spares, fires = TABLE.story, TABLE.spares, TABLE.fires

QUEUE, ACTOR = 'queue="mail"', 'actor="send"'
BOTH = f"{QUEUE}, {ACTOR}"
SEND = {"queue": "mail", "actor": "send"}


def attempts(outcome: str, *values: str, instance: str = "a:1") -> Series:
    return series("attempts_total", f'{BOTH}, outcome="{outcome}"', *values, instance=instance)


story(
    "FailureRatioHigh", "warning",
    [attempts("success", rising(0, 15, 90)), attempts("failed", flat(0, 20), rising(0, 15, 30), flat(435, 40))],
    quiet=19, firing=45, resolved=70, **SEND,
)  # fmt: skip
spares("FailureRatioHigh", "few attempts", [attempts("success", flat(0, 60)), attempts("failed",
       rising(0, 1, 60))], 25, 50)  # fmt: skip
spares("FailureRatioHigh", "a worker restarts", [attempts("success", rising(900, 15, 30), rising(0, 15, 30)),
       attempts("failed", flat(200, 30), flat(0, 30))], 31, 35, 45)  # fmt: skip

story(
    "RetryStorm", "warning",
    [attempts("success", rising(0, 5, 90)), attempts("retry", flat(0, 20), rising(0, 15, 30), flat(435, 40))],
    quiet=19, firing=45, resolved=70, queue="mail",
)  # fmt: skip
spares("RetryStorm", "few attempts", [attempts("success", flat(0, 60)), attempts("retry", rising(0, 1, 60))], 30, 50)
spares("RetryStorm", "few retries", [attempts("success", rising(0, 15, 90)), attempts("retry", rising(0, 1, 90))],
       30, 60)  # fmt: skip

FINISHED = f'{BOTH}, result="failed"'
story("DeadLettersGrowing", "warning", [series("finished_total", FINISHED, flat(0, 20), flat(1, 60))],
      quiet=19, firing=22, resolved=45, **SEND)  # fmt: skip
fires("DeadLettersGrowing", "warning", "buried by a process that has ended",
      [series("dead_letters", BOTH, flat(3, 20), flat(4, 30))], 25, **SEND)  # fmt: skip
spares("DeadLettersGrowing", "open, but old; one is discarded; the worker restarts",
       [series("dead_letters", BOTH, flat(4, 20), flat(3, 30)), series("finished_total", FINISHED, flat(9, 20),
        flat(0, 30))], 15, 25, 40)  # fmt: skip
spares("DeadLettersGrowing", "the exporter starts", [series("dead_letters", BOTH, "_x19", flat(4, 30))], 21, 30, 45)

AGE = "queue_dead_oldest_age_seconds"
story(
    "DeadLettersOld", "warning", [series(AGE, QUEUE, rising(0, 3600, 180), flat(0, 10))],
    quiet=160 * 60, firing=175 * 60, resolved=183 * 60, step=60, queue="mail",
)  # fmt: skip
spares("DeadLettersOld", "none is open", [series(AGE, QUEUE, flat(0, 60))], 30)

story(
    "SkippedOrExpired", "warning",
    [attempts("success", rising(0, 5, 90)), attempts("expired", flat(0, 20), flat(1, 60))],
    quiet=19, firing=22, resolved=45, outcome="expired", **SEND,
)  # fmt: skip
fires("SkippedOrExpired", "warning", "nothing but skips", [attempts("success", flat(0, 60)), attempts("skipped",
      rising(0, 5, 60))], 30, outcome="skipped", **SEND)  # fmt: skip
spares("SkippedOrExpired", "a single job that was sent twice now and then",
       [attempts("success", rising(0, 5, 60)), attempts("skipped", rising(0, 2, 60))], 20, 40)  # fmt: skip

RUNNING, LIMIT = "oldest_running_age_seconds", "actor_time_limit_seconds"
story(
    "RunStuck", "warning",
    [series(LIMIT, ACTOR, flat(600, 60)), series(RUNNING, ACTOR, rising(0, 60, 30), flat(0, 30))],
    quiet=10, firing=20, resolved=31, actor="send",
)  # fmt: skip
spares("RunStuck", "long, and within its limit", [series(LIMIT, ACTOR, flat(7200, 90)), series(RUNNING, ACTOR,
       rising(0, 60, 90))], 60, 89)  # fmt: skip
spares("RunStuck", "without a limit", [series(RUNNING, ACTOR, rising(0, 60, 90))], 60, 89)

PROGRESS, IN_PROGRESS = "last_progress_timestamp_seconds", "in_progress"
LONG = series(LIMIT, ACTOR, flat(14_400, 120))
story(
    "ProgressStopped", "warning",
    [LONG, series(PROGRESS, ACTOR, rising(0, 60, 30), flat(1740, 40), rising(4200, 60, 20)),
     series(IN_PROGRESS, BOTH, flat(1, 90)), attempts("success", flat(0, 90))],
    quiet=40, firing=60, resolved=75, actor="send",
)  # fmt: skip
spares(
    "ProgressStopped", "a long job that never reports",
    [LONG, series(PROGRESS, ACTOR, flat(0, 60), flat(3600, 60)), series(IN_PROGRESS, BOTH, flat(1, 120)),
     attempts("success", flat(0, 60), flat(1, 60))],
    50, 58, 110,
)  # fmt: skip
spares(
    "ProgressStopped", "its time limit will end it first",
    [series(LIMIT, ACTOR, flat(600, 90)), series(PROGRESS, ACTOR, rising(0, 60, 30), flat(1740, 40)),
     series(IN_PROGRESS, BOTH, flat(1, 90)), attempts("success", flat(0, 90))],
    60,
)  # fmt: skip
spares(
    "ProgressStopped", "nothing runs",
    [LONG, series(PROGRESS, ACTOR, rising(0, 60, 30), flat(1740, 60)), series(IN_PROGRESS, BOTH, flat(1, 30),
     flat(0, 60)), attempts("success", flat(0, 30), flat(1, 60))],
    60, 89,
)  # fmt: skip

POISON = f'{ACTOR}, error_type="PoisonMessage"'
story("PoisonMessage", "critical", [series("errors_total", POISON, "_x19", flat(1, 60))],
      quiet=18, firing=21, resolved=60, actor="send")  # fmt: skip
fires("PoisonMessage", "critical", "one more", [series("errors_total", POISON, flat(1, 60), flat(2, 30))], 65,
      actor="send")  # fmt: skip
spares("PoisonMessage", "a deploy that ends workers in mid-run",
       [series("redeliveries_total", BOTH, flat(0, 20), flat(8, 40)), series("errors_total", f'{ACTOR}, '
        'error_type="ValueError"', rising(0, 1, 60))], 25, 40)  # fmt: skip

BUCKETS = ("0.5", "1", "2.5", "10", "+Inf")


def durations(*phases: tuple[float, int, int]) -> list[Series]:
    """Runs of so many seconds, so many a step, for so many steps."""

    def line(bound: float) -> str:
        level, parts = 0.0, []
        for seconds, rate, steps in phases:
            step = rate if seconds <= bound else 0
            parts.append(rising(level, step, steps))
            level += step * steps
        return " ".join(parts)

    buckets = [series("run_duration_seconds_bucket", f'{BOTH}, le="{le}"', line(float(le))) for le in BUCKETS]
    return [*buckets, series("run_duration_seconds_count", BOTH, line(float("inf")))]


WEEK = 7 * 24
HOUR = 60
story(
    "DurationRegression", "info", durations((0.4, 40, 4 * (WEEK + 10)), (5, 40, 40), (0.4, 40, 40)),
    quiet=(WEEK + 9) * HOUR, firing=(WEEK + 18) * HOUR, resolved=(WEEK + 25) * HOUR, step=15, actor="send",
)  # fmt: skip
spares(
    "DurationRegression", "slow from the beginning", durations((5, 40, 4 * (WEEK + 20))), (WEEK + 16) * HOUR, step=15
)
spares("DurationRegression", "slower, and still quick", durations((0.4, 40, 4 * (WEEK + 10)), (0.9, 40, 40)),
       (WEEK + 18) * HOUR, step=15)  # fmt: skip
spares("DurationRegression", "few runs", durations((0.4, 1, 4 * (WEEK + 10)), (5, 1, 40)), (WEEK + 16) * HOUR, step=15)

# Objectives

DAY = 24 * 60


def objective(bad: str, good: str, count: int, ratio: float = 0.99) -> list[Series]:
    slo = 'slo="queue:mail"'
    return [
        series("slo_objective_ratio", slo, flat(ratio, count)),
        series("slo_events_total", f'{slo}, result="bad"', bad),
        series("slo_events_total", f'{slo}, result="good"', good),
    ]


FAST = ("ErrorBudgetBurnFast", "critical")
SLOW = ("ErrorBudgetBurnSlow", "warning")
STEADY = rising(0, 75, 500)
TABLE.story(
    *FAST, objective(f"{flat(0, 360)} {rising(0, 75, 18)} {flat(1275, 90)}", STEADY, 500),
    quiet=359, firing=374, resolved=400, slo="queue:mail", window="1h",
)  # fmt: skip
TABLE.story(
    *FAST, objective(f"{flat(0, 72)} {rising(0, 10, 60)} {flat(590, 72)}", rising(0, 90, 300), 300),
    quiet=70 * 5, firing=130 * 5, resolved=150 * 5, step=5, slo="queue:mail", window="6h",
)  # fmt: skip
TABLE.story(
    *SLOW, objective(f"{flat(0, 180)} {rising(0, 10, 34)} {flat(330, 100)}", rising(0, 90, 400), 400),
    quiet=170 * 30, firing=212 * 30, resolved=243 * 30, step=30, slo="queue:mail", window="1d", also={"window": "3d"},
)  # fmt: skip
TABLE.story(
    *SLOW, objective(f"{flat(0, 48)} {rising(0, 2, 100)} {flat(198, 60)}", rising(0, 98, 300), 300),
    quiet=47 * 60, firing=143 * 60, resolved=160 * 60, step=60, slo="queue:mail", window="3d",
)  # fmt: skip
for name, _ in (FAST, SLOW):
    spares(name, "one failure in little traffic", objective(f"{flat(0, 60)} {flat(1, 200)}", rising(0, 0.05, 260), 300),
           61, 64, 70, 80, 90, 120, 250)  # fmt: skip
    spares(name, "a worker restarts", objective(f"{flat(50, 60)} {flat(0, 60)}", f"{rising(5000, 75, 60)} "
           f"{rising(0, 75, 60)}", 120), 61, 70, 90)  # fmt: skip
    spares(name, "no runs at all", objective(flat(0, 100), flat(0, 100), 100), 30, 90)
