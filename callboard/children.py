"""A small supervisor: child processes that are brought back when they die, and that end with us."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from callboard.tether import tether
from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 10.0
_log = PlainLog(__name__)
_STEADY_SECONDS = 30.0  # a child that lived for so long starts again at the first backoff


@dataclass(frozen=True, slots=True)
class ChildState:
    """One child as a screen shows it; `exit_code` is that of its last end, -N if signal N ended it."""

    name: str
    pid: int | None
    restarts: int
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class ChildExit:
    """A child that ended without being asked; `restart_in` seconds it comes back, or, if None, it does not."""

    name: str
    exit_code: int
    restart_in: float | None


@dataclass(slots=True)
class _Child:
    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    restart: bool
    log: Path | None
    death_signal: int
    fds: tuple[int, ...]
    on_launch: Callable[[], None] | None
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float | None = None
    backoff: float = FIRST_BACKOFF_SECONDS
    restarts: int = 0
    exit_code: int | None = None
    hurried: bool = False


class Children:
    """Named child processes, each in a session of its own, so that Ctrl-C reaches us alone and we order the shutdown.

    A dead child is started again after 0.2 s, 0.4 s, ... up to 10 s, and after 30 s of steady life from 0.2 s again;
    its siblings are not touched. If we die, even by `kill -9`, Linux sends every child SIGTERM; elsewhere they stay
    (see `callboard.tether`, also for why `spawn` and `poll` belong into a thread as long-lived as the children).
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._children: dict[str, _Child] = {}

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        restart: bool = True,
        log: Path | None = None,
        death_signal: int = signal.SIGTERM,
        fds: Sequence[int] = (),
        on_launch: Callable[[], None] | None = None,
    ) -> None:
        """Start `argv` under a name of its own.

        Args:
            name: What `poll` and `states` call it.
            argv: The command; the first word is a path or a program on the PATH.
            env: Variables added to this process's environment.
            restart: Bring it back when it ends, whatever its exit code.
            log: Append its output to this file; None: it writes where we write.
            death_signal: What it gets when we die.
            fds: Our file descriptors that it inherits, under their numbers.
            on_launch: Called before each start of it, the first and the later ones, when no process of it lives.

        Raises:
            ValueError: The name is taken by a child that has not been stopped.
        """
        if name in self._children:
            raise ValueError(f"child {name!r} exists already: give each child a name of its own.")
        child = _Child(name, tuple(argv), dict(env or {}), restart, log, death_signal, tuple(fds), on_launch)
        self._launch(child)
        self._children[name] = child

    def poll(self) -> list[ChildExit]:
        """Notice who has died and start whose time has come; never waits. Call it a few times a second."""
        exits = [self._bury(child) for child in self._children.values() if child.process and _ended(child.process)]
        for child in self._children.values():
            if child.due_at is not None and self._clock() >= child.due_at:
                self._relaunch(child)
        return exits

    def states(self) -> list[ChildState]:
        """Every child in the order of birth, as of the last `poll`."""
        return [
            ChildState(child.name, child.process.pid if child.process else None, child.restarts, child.exit_code)
            for child in self._children.values()
        ]

    def pid(self, name: str) -> int | None:
        """The process of a child; None while it has none, or when there is no such child."""
        child = self._children.get(name)
        return child.process.pid if child is not None and child.process is not None else None

    def kill(self, name: str) -> None:
        """SIGKILL a child and its session; the next `poll` that finds it dead starts it again without a pause."""
        child = self._children[name]
        if child.process is not None:
            child.hurried = True
            _kill_session(child.process)

    def terminate(self, name: str) -> None:
        """SIGTERM a child, if it has a process."""
        process = self._children[name].process
        if process is not None:
            process.terminate()

    def retire(self, name: str, new_name: str) -> None:
        """Give a child another name, under which it is not started again; its own one is free for a successor.

        Raises:
            ValueError: The new name is taken.
        """
        if new_name in self._children:
            raise ValueError(f"child {new_name!r} exists already: give each child a name of its own.")
        child = self._children.pop(name)
        child.name, child.restart, child.due_at = new_name, False, None
        self._children[new_name] = child

    def forget(self, name: str) -> None:
        """Drop a child that has ended and is not to come back.

        Raises:
            ValueError: It still runs.
        """
        if self._children[name].process is not None:
            raise ValueError(f"child {name!r} still runs: stop it first.")
        del self._children[name]

    def stop(self, timeout: float = 8.0) -> list[str]:
        """SIGTERM to all at once, SIGKILL after `timeout` seconds to those still there; returns the names of those.

        Whatever a child has left in its session is killed with it. Afterwards there are no children; again is harmless.
        """
        living = [(child.name, child.process) for child in self._children.values() if child.process]
        for _, process in living:
            process.terminate()
        deadline = time.monotonic() + timeout
        stubborn = [name for name, process in living if not _ends_by(process, deadline)]
        self._children.clear()
        return stubborn

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, child: _Child) -> None:
        if child.on_launch is not None:
            child.on_launch()
        with ExitStack() as stack:
            output = stack.enter_context(child.log.open("ab")) if child.log else None
            child.process = subprocess.Popen(  # noqa: S603 (the caller's own command, no shell)
                tether(child.argv, death_signal=child.death_signal),
                env=os.environ | child.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=child.fds,
            )
        child.started_at = self._clock()

    def _relaunch(self, child: _Child) -> None:
        try:
            self._launch(child)
        except OSError as error:  # no memory or no process number now: that may pass
            self._postpone(child)
            _log.warning("child.start_failed", child=child.name, error=str(error))
            return
        child.restarts += 1
        child.due_at = None

    def _bury(self, child: _Child) -> ChildExit:
        assert child.process is not None  # noqa: S101 (only the dead are buried)
        child.exit_code, child.process = child.process.wait(), None
        if not child.restart:
            return ChildExit(child.name, child.exit_code, None)
        if self._clock() - child.started_at >= _STEADY_SECONDS:
            child.backoff = FIRST_BACKOFF_SECONDS
        if child.hurried:
            child.hurried, child.due_at = False, self._clock()
            return ChildExit(child.name, child.exit_code, 0.0)
        return ChildExit(child.name, child.exit_code, self._postpone(child))

    def _postpone(self, child: _Child) -> float:
        pause = child.backoff
        child.due_at = self._clock() + pause
        child.backoff = min(2 * pause, LAST_BACKOFF_SECONDS)
        return pause


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child has ended; what it left in its session is killed, for it would disturb a successor."""
    if process.poll() is None:
        return False
    _kill_session(process)
    return True


def _ends_by(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for the child to end by itself; then end it and all that is left of its session."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
        willing = True
    except subprocess.TimeoutExpired:
        willing = False
    _kill_session(process)
    process.wait()
    return willing


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left; macOS says so by a refusal
