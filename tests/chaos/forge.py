"""Runs jobs in forks of one process that has imported everything, and kills a fork at the step it is told.

A step is a statement or a commit at Postgres, or a request or connection to the outside. What the job sends is drained
in the same fork: single-threaded, in order, without waiting for delays; so step number k is the same moment in every
run.

    python -m tests.chaos.forge    reads one JSON document a line: {"environment", "job", "arguments", "kill_at"},
                                   and answers {"steps", "killed", "error"}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

import dramatiq
import httpx
import httpx2
import openai  # noqa: F401 - takes its time, once
import psycopg
from sqlalchemy import Engine, event, text

from callboard.compose import get_broker
from callboard.ledger.database import get_engine
from callboard.loading import load_actors
from callboard.settings import get_settings
from callboard.testing import MemoryBroker
from observability import logs
from scheduler.reconciler import Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable

CATALOGUES = ("actors.memory", "actors.revenue")
# Statements at the driver, for some jobs speak to it; the second client is openai's.
_ACTS: tuple[tuple[type[Any], str], ...] = (
    (psycopg.Cursor, "execute"),
    (psycopg.Cursor, "executemany"),
    (httpx.Client, "send"),
    (httpx2.Client, "send"),
)
#: Attempts of one run and all that it sends.
_MOST = 20_000


class _Broker(MemoryBroker):
    """One with a ledger: the outbox writes into that."""

    keep_until_commit = None  # type: ignore[assignment] # whoever asks finds none


class Steps:
    """Counts what the process does to the outside, and ends it at step `kill_at` as SIGKILL ends it."""

    def __init__(self, kill_at: int | None) -> None:
        self._kill_at = kill_at
        self.count = 0

    def take(self, *_: object, **__: object) -> None:
        """One more step is about to be taken."""
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """From now on, in this process."""
        event.listen(Engine, "commit", self.take)
        for owner, name in _ACTS:
            self._wrap(owner, name)
        sys.addaudithook(self._heard)

    def _wrap(self, owner: type[Any], name: str) -> None:
        act: Callable[..., Any] = getattr(owner, name)

        def counted(this: object, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the act's own signature
            self.take()
            return act(this, *args, **kwargs)

        setattr(owner, name, counted)

    def _heard(self, name: str, _arguments: tuple[object, ...]) -> None:
        if name == "socket.connect":
            self.take()


def serve() -> None:
    """Answer until the input ends; what else is printed goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logs.configure(format="json", level="critical", service="forge")
    dramatiq.set_broker(_Broker())
    load_actors(get_settings())
    for line in sys.stdin:
        answers.write(json.dumps(_forked(json.loads(line))) + "\n")
        answers.flush()


def _forked(order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(order, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"steps": None, "error": None} | (json.loads(told) if told else {}) | {"killed": killed}


def _child(order: dict[str, Any], writing: int) -> None:
    """Never returns: a fork has no business in its parent's loop."""
    error, steps = None, Steps(order["kill_at"])
    try:
        _work(order, steps)
    except BaseException:  # noqa: BLE001 - told to the parent
        error = traceback.format_exc()
    os.write(writing, json.dumps({"steps": steps.count, "error": error}).encode())
    os._exit(0)


def _work(order: dict[str, Any], steps: Steps) -> None:
    os.environ.update(order["environment"])
    _forget_settings()
    broker = get_broker()
    if not isinstance(broker, MemoryBroker):
        raise TypeError(f"the broker is {broker!r}")
    _send_again(broker)
    steps.watch()
    broker.actors[order["job"]].send(**order["arguments"])
    failed = [run for run in broker.drain(most=_MOST) if run.state != "completed"]
    if failed and not order.get("may_fail"):
        raise RuntimeError("; ".join(f"{run.facts.job} {run.state}: {run.failure}" for run in failed[:3]))


def _send_again(broker: MemoryBroker) -> None:
    """What the scheduler does for durable runs whose message died with the broker: it sends them again."""
    with get_engine().begin() as connection:
        connection.execute(text("delete from board.claims"))  # their leases have ended
    again = Reconciler(get_engine(), broker, get_settings(), lambda: True)
    again._age = 0.0  # it waits some seconds for messages that are on their way; none is here
    again._tick()


def _forget_settings() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(("actors.", "callboard.")) and name.rpartition(".")[2] == "settings":
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


if __name__ == "__main__":
    serve()
