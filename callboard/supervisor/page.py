"""The status page: what a worker process does right now, in memory that its supervisor reads at any time.

    header   threads, state, signs of life, the broker's id of this process
    slots    one a thread: the attempt that it runs, since when, and its hard deadline
    bodies   one a thread: the message of that attempt, as it was enqueued

The reader takes no lock, for the writer may be stuck with the GIL, or dead. Each number is written by one thread in
one aligned store, the deadline last; whoever acts upon an attempt reads it twice. Times are `time.monotonic_ns()`,
which on Linux is one clock for all processes.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import time
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Where a worker process finds the number of the page's file descriptor.
VARIABLE = "CALLBOARD_STATUS_PAGE"

# threads, state, last round of the fetch loop, last breath, broker id, its length
_HEADER = struct.Struct("@IIqq36sq")
_STATE = struct.Struct("@I")
_STATE_AT, _PROGRESS_AT, _BREATH_AT, _BROKER_AT = 4, 8, 16, 24
_BROKER = struct.Struct("@36sq")
_NUMBER = struct.Struct("@q")
_SLOT = struct.Struct("@16sqHHIqqq")  # run, token, attempt, recorded, body's length, started, deadline, jobs done
_BEGIN = struct.Struct("@16sqHHIqq")
_END = struct.Struct("@qqq")  # started, deadline, jobs done
_END_AT = 32
_HEADER_SIZE, _SLOT_SIZE = 128, 64
#: A longer message is not kept: what is known of its run is then what the ledger says.
BODY_SIZE = 256 * 1024


class State(IntEnum):
    """What a worker process says of itself."""

    STARTING = 0
    WORKING = 1
    DRAINING = 2


class Attempt(NamedTuple):
    """One attempt as its slot shows it; `body` is empty if it was too long to be kept.

    `recorded` is False when the ledger may not have a row of the run yet.
    """

    slot: int
    run_id: bytes
    token: int
    attempt: int
    recorded: bool
    started_ns: int
    deadline_ns: int
    body_length: int


class Slot:
    """The place of one thread of the worker process; only that thread may use it. A begin and an end take 0.4 µs."""

    __slots__ = ("_at", "_body_at", "_done", "_memory", "busy")

    def __init__(self, memory: mmap.mmap, at: int, body_at: int) -> None:
        self._memory = memory
        self._at = at
        self._body_at = body_at
        self._done = 0
        self.busy = False

    def begin(
        self,
        run_id: bytes,
        token: int,
        attempt: int,
        recorded: bool,  # noqa: FBT001 - keywords cost a tenth of a call that each job makes
        patience_ns: int,
        body: bytes,
        _now: Callable[[], int] = time.monotonic_ns,
        _pack: Callable[..., None] = _BEGIN.pack_into,
    ) -> None:
        """Say that this thread runs an attempt from now on.

        Args:
            run_id: The run's id, 16 bytes.
            token: The attempt's fencing token.
            attempt: Its number, from 1.
            recorded: Whether the ledger has a row of it already.
            patience_ns: Nanoseconds after which its process is to be killed; 0: never.
            body: The encoded message.
        """
        length = len(body)
        if length <= BODY_SIZE:
            at = self._body_at
            self._memory[at : at + length] = body
        else:
            length = 0
        now = _now()
        deadline = now + patience_ns if patience_ns else 0
        _pack(self._memory, self._at, run_id, token, attempt, recorded, length, now, deadline)
        self.busy = True

    def end(self, _pack: Callable[..., None] = _END.pack_into) -> None:
        """Say that the attempt is over, and count it as a job done."""
        self._done += 1
        self.busy = False
        _pack(self._memory, self._at + _END_AT, 0, 0, self._done)


class StatusPage:
    """A page for `threads` threads on an open file, or, without one, in memory of this process alone."""

    def __init__(self, threads: int, fd: int = -1) -> None:
        self.threads = threads
        self._bodies_at = -(-(_HEADER_SIZE + threads * _SLOT_SIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._size = self._bodies_at + threads * BODY_SIZE  # what is never written takes no memory
        if fd >= 0:
            os.ftruncate(fd, self._size)
        self.fd = fd
        self._memory = mmap.mmap(fd, self._size)
        _STATE.pack_into(self._memory, 0, threads)

    @classmethod
    def shared(cls, threads: int) -> Self:
        """A fresh page whose `fd` can be handed to a child; it has no name that others could open."""
        return cls(threads, _anonymous_file())

    @classmethod
    def opened(cls, fd: int) -> Self:
        """The page that another process wrote into this file."""
        with mmap.mmap(fd, _HEADER_SIZE, access=mmap.ACCESS_READ) as head:
            return cls(int(_HEADER.unpack_from(head)[0]), fd)

    @classmethod
    def of_this_process(cls, threads: int) -> Self:
        """The page that our supervisor handed us, or, if nobody supervises us, one that nobody reads."""
        number = os.environ.pop(VARIABLE, "")  # our own children are none of its business
        if not number:
            return cls(threads)
        page = cls.opened(int(number))
        os.close(page.fd)
        page.fd = -1
        return page

    def slot(self, number: int) -> Slot | None:
        """The place of thread `number`, from 0; None beyond the page's threads."""
        if not 0 <= number < self.threads:
            return None
        return Slot(self._memory, _HEADER_SIZE + number * _SLOT_SIZE, self._bodies_at + number * BODY_SIZE)

    def progress(self, _pack: Callable[..., None] = _NUMBER.pack_into) -> None:
        """Called by the fetch loop each time round, also when nothing came and while it waits for room or a server.

        A worker that has called it once must go on: after a minute without, while a thread is free, it counts as stuck.
        """
        _pack(self._memory, _PROGRESS_AT, time.monotonic_ns())

    def breathe(self) -> None:
        """Called by a thread that does nothing else, each second: this interpreter still runs more than one thread.

        A worker that has called it once must go on: when it falls silent for the length of a lease, somebody holds the
        GIL, its leases are over, and its runs have gone elsewhere.
        """
        _NUMBER.pack_into(self._memory, _BREATH_AT, time.monotonic_ns())

    def say(self, state: State) -> None:
        """Tell the supervisor what this process does; a successor counts once it is WORKING."""
        _STATE.pack_into(self._memory, _STATE_AT, state)

    def introduce(self, broker_id: str) -> None:
        """Tell under which id this process holds its messages at the broker (at most 36 characters)."""
        text = broker_id.encode()[:36]
        _BROKER.pack_into(self._memory, _BROKER_AT, text, len(text))

    def clear(self) -> None:
        """A page as of a process that has not begun."""
        self._memory[: self._bodies_at] = bytes(self._bodies_at)
        _STATE.pack_into(self._memory, 0, self.threads)

    def copy(self) -> Self:
        """The same page on a file of its own, which later changes of this one do not reach."""
        twin = type(self).shared(self.threads)
        twin._memory[: self._bodies_at] = self._memory[: self._bodies_at]  # noqa: SLF001 - another of us
        for attempt in self.running():
            at = self._bodies_at + attempt.slot * BODY_SIZE
            twin._memory[at : at + attempt.body_length] = self.body(attempt)  # noqa: SLF001 - another of us
        return twin

    def close(self) -> None:
        """Let go of the memory and of the file."""
        self._memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def state(self) -> State:
        """What the process said last."""
        return State(_STATE.unpack_from(self._memory, _STATE_AT)[0])

    @property
    def progress_ns(self) -> int:
        """When its fetch loop last went round; 0: it never did, or does not tell."""
        return int(_NUMBER.unpack_from(self._memory, _PROGRESS_AT)[0])

    @property
    def breath_ns(self) -> int:
        """When the process last showed that its threads take turns; 0: it never did, or does not tell."""
        return int(_NUMBER.unpack_from(self._memory, _BREATH_AT)[0])

    @property
    def broker_id(self) -> str:
        """The broker's id of the process; empty if it was never told."""
        text, length = _BROKER.unpack_from(self._memory, _BROKER_AT)
        return bytes(text[:length]).decode()

    @property
    def jobs(self) -> int:
        """Attempts that the process has done since it began."""
        return sum(slot[7] for slot in self._slots())

    def running(self) -> list[Attempt]:
        """The attempts that its threads run right now."""
        return [
            Attempt(number, run_id, token, attempt, bool(recorded), started, deadline, length)
            for number, (run_id, token, attempt, recorded, length, started, deadline, _) in enumerate(self._slots())
            if started
        ]

    def overdue(self, now_ns: int) -> list[Attempt]:
        """Those whose hard deadline is over."""
        return [attempt for attempt in self.running() if 0 < attempt.deadline_ns <= now_ns]

    def body(self, attempt: Attempt) -> bytes:
        """The message of an attempt; empty if it was too long to be kept."""
        at = self._bodies_at + attempt.slot * BODY_SIZE
        return self._memory[at : at + attempt.body_length]

    def _slots(self) -> Iterator[tuple[bytes, int, int, int, int, int, int, int]]:
        for number in range(self.threads):
            yield _SLOT.unpack_from(self._memory, _HEADER_SIZE + number * _SLOT_SIZE)


def _anonymous_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("callboard-status", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
