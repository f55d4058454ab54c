"""Postgres stops, dies, is refused, or goes right after the broker."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.chaos.case import Case
from tests.chaos.cases_broker import pause
from tests.chaos.tally import percentiles
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.stage import Stage
    from tests.chaos.tally import Tally


def _under_load(stage: Stage, fault: Callable[[], None], *, messages: int, rate: float) -> Tally:
    """Plain messages all the time; durable ones before the fault, so that both kinds are under way in it."""
    stage.workers(2)
    stage.send("kept", messages // 10, kwargs={"milliseconds": 100})
    stage.send("work", messages, rate=rate, tries=200, kwargs={"milliseconds": 20}, wait=False)
    eventually(lambda: len(stage.sent("ok")) >= messages // 5, 60, every=0.05, what="a fifth of the load")
    fault()
    healed = time.monotonic()
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    ends = {effect.run: effect.seconds for effect in stage.effects() if effect.what == "E"}
    tally.recovery = percentiles(end - healed for end in ends.values() if end > healed)
    tally.expect(tally.restarted == 0 or tally.undeclared == 0, "runs started twice and do not say so")
    return tally


def stopped(stage: Stage, *, seconds: float = 30, messages: int = 5000, rate: float = 120) -> Tally:
    """SIGSTOP to every process of Postgres."""

    def fault() -> None:
        stage.freeze_postgres(signal.SIGSTOP)
        pause(seconds)
        stage.freeze_postgres(signal.SIGCONT)

    return _under_load(stage, fault, messages=messages, rate=rate)


def crashed(stage: Stage, *, seconds: float = 30, messages: int = 5000, rate: float = 120) -> Tally:
    """SIGQUIT, which is a crash with recovery, and a restart later."""

    def fault() -> None:
        stage.postgres.send_signal(signal.SIGQUIT)
        stage.postgres.wait(30)
        pause(seconds)
        stage.restart_servers()

    return _under_load(stage, fault, messages=messages, rate=rate)


def unreachable(stage: Stage, *, seconds: float = 30, messages: int = 5000, rate: float = 120) -> Tally:
    """Connections to Postgres are cut and refused."""

    def fault() -> None:
        stage.database.refuse()
        pause(seconds)
        stage.database.heal()

    return _under_load(stage, fault, messages=messages, rate=rate)


def one_after_another(stage: Stage, *, seconds: float = 15, messages: int = 5000, rate: float = 120) -> Tally:
    """The broker is refused, then, the moment it is back, Postgres."""

    def fault() -> None:
        stage.broker.refuse()
        pause(seconds)
        stage.broker.heal()
        stage.database.refuse()
        pause(seconds)
        stage.database.heal()

    return _under_load(stage, fault, messages=messages, rate=rate)


def both_killed(stage: Stage, *, messages: int = 5000, rate: float = 300) -> Tally:
    """Broker, Postgres, workers and scheduler are killed at once, and started again: the whole host went off."""
    stage.workers(2)
    stage.send("kept", messages // 5, kwargs={"milliseconds": 50})
    stage.send("work", messages, rate=rate, tries=200, kwargs={"milliseconds": 20}, wait=False)
    eventually(lambda: len(stage.sent("ok")) >= messages // 2, 60, every=0.05, what="half the load")
    for process in list(stage.fleet.processes):
        stage.fleet.kill(process)
    stage.valkey.kill()
    stage.postgres.send_signal(signal.SIGQUIT)
    stage.valkey.wait()
    stage.postgres.wait(30)
    stage.restart_servers()
    stage.scheduler()
    stage.worker()
    stage.worker()
    stage.await_sent()
    stage.settle(timeout=60)
    return stage.tally()


CASES = [
    Case(name="p1", fault="Postgres stopped (SIGSTOP) for 30 s under load", play=stopped,
         quick={"seconds": 4, "messages": 500}),
    Case(name="p2", fault="Postgres crashed (SIGQUIT), restarted after 30 s", play=crashed),
    Case(name="p3", fault="Postgres refused for 30 s", play=unreachable),
    Case(name="p4", fault="broker refused for 15 s, then Postgres for 15 s", play=one_after_another),
    Case(name="p5", fault="everything killed at once", play=both_killed),
]  # fmt: skip
