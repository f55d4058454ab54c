"""Keys as they are pressed, without waiting for Enter; the terminal is given back as it was."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_KEY_BYTES = 64
#: What arrow keys and the like send, as the letter that does the same.
_NAMED = {
    "\x1b[A": "k",
    "\x1b[B": "j",
    "\x1b[Z": "backtab",
    "\t": "tab",
    " ": "p",
    "\x1bOA": "k",
    "\x1bOB": "j",
}


class Keys:
    """Waits for a key, or for whatever else `wake` tells of. Only its `wake` may be called by other threads."""

    def __init__(self, keyboard: int | None) -> None:
        self._keyboard = keyboard
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._open = threading.RLock()  # a signal may come while it is held
        self._closed = False

    def wake(self) -> None:
        """End the `wait` that is under way, or the next one."""
        with self._open, suppress(BlockingIOError):  # as many wakes are there already as the pipe holds
            if not self._closed:  # else the number may by now be another file's
                os.write(self._writing, b"x")

    def wait(self, seconds: float | None) -> list[str]:
        """The keys pressed, after `seconds` at the latest; empty when there were none."""
        watched = [self._reading] if self._keyboard is None else [self._reading, self._keyboard]
        found, _, _ = select.select(watched, [], [], seconds)
        if self._reading in found:
            os.read(self._reading, _KEY_BYTES)
        if self._keyboard is None or self._keyboard not in found:
            return []
        pressed = os.read(self._keyboard, _KEY_BYTES).decode(errors="replace")
        if not pressed:  # the terminal is gone
            self._keyboard = None
        return split(pressed)

    def close(self) -> None:
        """Close the pipe."""
        with self._open:
            self._closed = True
            os.close(self._writing)
            os.close(self._reading)


def split(pressed: str) -> list[str]:
    """The keys of what a terminal sent at once; an escape sequence that nobody knows is left out."""
    keys: list[str] = []
    while pressed:
        size = 3 if pressed[:2] in ("\x1b[", "\x1bO") else 1
        head, pressed = pressed[:size], pressed[size:]
        if size == 1 or head in _NAMED:
            keys.append(_NAMED.get(head, head))
    return keys


@contextmanager
def keys() -> Iterator[Keys]:
    """The keys of stdin, if it is a terminal; a terminal that changes its size wakes the one who waits."""
    keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    made = Keys(keyboard)

    def resized(_number: int, _frame: FrameType | None) -> None:
        made.wake()

    before = signal.signal(signal.SIGWINCH, resized)
    try:
        with _raw(keyboard):
            yield made
    finally:
        signal.signal(signal.SIGWINCH, before)
        made.close()


@contextmanager
def _raw(keyboard: int | None) -> Iterator[None]:
    """Inside, keys come at once and are not shown.

    Ctrl-C still interrupts. Ctrl-Z, which would leave our screen to the shell, does nothing.
    """
    if keyboard is None:
        yield
        return
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        mode = termios.tcgetattr(keyboard)
        mode[6][termios.VSUSP] = os.fpathconf(keyboard, "PC_VDISABLE").to_bytes(1, "little")
        termios.tcsetattr(keyboard, termios.TCSANOW, mode)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
