"""The rules of the supervisor: who is started, killed, replaced and renewed; see the top of this package."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.supervisor._seat import Seat, names, resident_mb
from callboard.supervisor.page import VARIABLE
from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from callboard.children import ChildExit, Children
    from callboard.supervisor.plan import Plan

_log = PlainLog(__name__)
_SIGKILL = 9
#: Time that passes unseen, because we were frozen ourselves, is not held against a worker.
_LONGEST_ROUND = 1.0


@dataclass(slots=True)
class _Renewal:
    """A process that is being renewed; `deadline` is when it is killed, set once it was asked to drain."""

    old: Seat
    new: Seat
    deadline: float | None = None


class Workforce:
    """The worker processes among `children`, by name `worker-1` to `worker-N`. Belongs to one thread.

    Args:
        children: Who starts and buries them; others may be among them.
        plan: How many, and when one is renewed.
        env: Variables they get besides ours.
        log: Names the file that a child writes to; None: it writes where we write.

    Attributes:
        has_worked: Whether any worker has ever begun to take messages.
        replaced: How many processes were, because they died by themselves, were killed here, or were renewed.
    """

    def __init__(
        self,
        children: Children,
        plan: Plan,
        *,
        env: Mapping[str, str] | None = None,
        log: Callable[[str], Path] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = children
        self._plan = plan
        self._env = dict(env or {})
        self._log_of = log
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._renewal: _Renewal | None = None
        self._notaries = 0
        self._last_round = clock()
        self.has_worked = False
        self._killed: set[str] = set()
        self.replaced = dict.fromkeys(("died", "killed", "renewed"), 0)

    def seats(self) -> list[Seat]:
        """Every place with a process, also that of one that is being renewed; from any thread."""
        renewal = self._renewal
        return [*self._seats.values(), *([renewal.old] if renewal else [])]

    def start(self) -> None:
        """Start the workers."""
        for number in range(1, self._plan.processes + 1):
            self._seat(f"worker-{number}")

    def tend(self) -> list[ChildExit]:
        """One round: bury and replace the dead, kill the stuck, renew the worn. Call it a few times a second.

        Returns:
            The children, ours or others', that ended without being asked to.
        """
        seconds = min(self._clock() - self._last_round, _LONGEST_ROUND)
        self._last_round = self._clock()
        exits = [ended for ended in self._children.poll() if not self._was_asked(ended)]
        for name in {ended.name for ended in exits} & self._seats.keys():
            self.replaced["killed" if name in self._killed else "died"] += 1
            self._killed.discard(name)
        for seat in self.seats():
            self._report(seat)
            self._check(seat, seconds)
            self.has_worked = self.has_worked or seat.working
        self._advance_renewal()
        return exits

    def close(self) -> None:
        """Let go of the pages; after the children have been stopped."""
        for seat in self.seats():
            seat.page.close()
        self._seats.clear()
        self._renewal = None

    def _seat(self, name: str) -> Seat:
        seat = Seat(name, self._plan.threads)
        self._children.spawn(
            name,
            self._plan.worker,
            self._env | {VARIABLE: str(seat.page.fd)},
            log=self._log_of(name) if self._log_of else None,
            death_signal=_SIGKILL,  # nobody would kill an orphan that is stuck, and a drain may take long
            fds=(seat.page.fd,),
            on_launch=seat.vacate,
        )
        self._seats[name] = seat
        return seat

    def _was_asked(self, ended: ChildExit) -> bool:
        """Whether this end is part of a plan of ours."""
        if ended.name.startswith("notary-"):
            self._children.forget(ended.name)
            if ended.exit_code != 0:
                _log.error("worker.note_failed", child=ended.name, exit_code=ended.exit_code)
            return True
        renewal = self._renewal
        return renewal is not None and ended.name == renewal.old.name and renewal.deadline is not None

    def _check(self, seat: Seat, seconds: float) -> None:
        pid = self._children.pid(seat.name)
        if pid is None or seat.convicted:
            return
        seat.convicted = seat.overdue(time.monotonic_ns())
        reason = self._fault(seat, seconds)
        if reason:
            runs = names(seat.convicted or seat.page.running())
            _log.error("worker.killed", child=seat.name, worker_pid=pid, reason=reason, runs=runs)
            self._children.kill(seat.name)
            self._killed.add(seat.name)

    def _fault(self, seat: Seat, seconds: float) -> str:
        """Why the process has to be killed; empty if it has not."""
        frozen, idles = seat.frozen(seconds), seat.idles(seconds)
        if seat.convicted:
            return "a job has outlived its hard limit"
        if frozen >= self._plan.lease_seconds:
            return f"one thread has kept all others from running for {frozen:.0f} s"
        return "it takes no messages though it has free threads" if idles else ""

    def _report(self, seat: Seat) -> None:
        """Once the killed process is dead, have a process of its own write down what became of its runs.

        Only then: nothing can end those runs meanwhile, and until its leases are over nobody else can have them.
        """
        if seat.convicted and seat.evidence is None and seat is (self._renewal and self._renewal.old):
            if self._children.pid(seat.name) is not None:
                return
            seat.vacate()
        if seat.evidence is None:
            return
        evidence, convicted = seat.evidence, seat.convicted
        seat.evidence, seat.convicted = None, []
        self._notaries += 1
        name = f"notary-{self._notaries}"
        argv = [*self._plan.notary, str(evidence.fd), *(str(attempt.slot) for attempt in convicted)]
        log = self._log_of(seat.name) if self._log_of else None
        self._children.spawn(name, argv, self._env, restart=False, log=log, fds=(evidence.fd,))
        evidence.close()

    def _advance_renewal(self) -> None:
        renewal = self._renewal
        if renewal is None:
            self._begin_renewal()
        elif self._children.pid(renewal.old.name) is None:
            if not renewal.old.convicted:
                self._end_renewal(renewal)
        elif renewal.deadline is None:
            if renewal.new.working:
                self._children.terminate(renewal.old.name)
                renewal.deadline = self._clock() + self._plan.stop_seconds
        elif self._clock() >= renewal.deadline:
            _log.warning("worker.killed", child=renewal.old.name, reason="it did not drain in time")
            self._children.kill(renewal.old.name)
            renewal.deadline = float("inf")  # said and done

    def _begin_renewal(self) -> None:
        """One process at a time, and only while all others work."""
        if not all(seat.working for seat in self._seats.values()):
            return
        for seat in sorted(self._seats.values(), key=lambda seat: seat.launched):
            reason = self._worn(seat)
            if reason:
                _log.info("worker.renewing", child=seat.name, reason=reason)
                name, seat.name = seat.name, f"{seat.name}-old"
                self._children.retire(name, seat.name)
                self._renewal = _Renewal(seat, self._seat(name))
                return

    def _worn(self, seat: Seat) -> str:
        """Why the process is to be renewed; empty if it is not."""
        jobs = seat.page.jobs
        if 0 < self._plan.max_jobs <= jobs:
            return f"{jobs} jobs"
        if self._plan.max_memory_mb == 0:
            return ""
        memory = resident_mb(self._children.pid(seat.name))
        return f"{memory:.0f} MB after {jobs} jobs" if memory > self._plan.max_memory_mb else ""

    def _end_renewal(self, renewal: _Renewal) -> None:
        self._children.forget(renewal.old.name)
        renewal.old.page.close()
        self._renewal = None
        self.replaced["renewed"] += 1
        _log.info("worker.renewed", child=renewal.new.name, worker_pid=self._children.pid(renewal.new.name))
