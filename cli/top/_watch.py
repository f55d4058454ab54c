"""Look every two seconds and show it; keys are answered at once, whatever the servers do."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.live import Live

from callboard.errors import CallboardError
from cli._output import console
from cli.board import board
from cli.top._keys import Keys, keys
from cli.top._screen import Choice, render
from cli.top._sections import SECTIONS
from cli.top._view import View, view

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from callboard.views.look import Look

REFRESH_SECONDS = 2.0
#: Rates are taken over the last so many looks but one: 10 s.
_LOOKS = 6


class Board:
    """The last looks, and since when what is down is down."""

    def __init__(self, asked: Callable[[], Look] | None = None) -> None:
        self._asked = board().look if asked is None else asked
        self._looks: deque[Look] = deque(maxlen=_LOOKS)
        self._since: dict[str, datetime] = {}

    def refresh(self) -> View:
        """Look once more."""
        latest = self._asked()
        self._since = {name: self._since.get(name, latest.moment) for name in latest.down}
        if self._looks and (self._looks[-1].ledger is None) != (latest.ledger is None):
            self._looks.clear()  # no rate can be taken across an outage
        self._looks.append(latest)
        return view(self._looks, self._since)


class _Looker(threading.Thread):
    """Refreshes in the background: a server that hangs must not hold up the keys."""

    def __init__(self, found: Callable[[], None]) -> None:
        super().__init__(name="top-look", daemon=True)
        self.latest: View | None = None
        self.refused: CallboardError | None = None
        self._found = found
        self._stopping = threading.Event()

    def run(self) -> None:
        shown = Board()
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.latest = shown.refresh()
            except CallboardError as error:  # only an API refuses; it will not change its mind
                self.refused = error
            self._found()
            if self.refused is not None:
                return
            self._stopping.wait(max(0.0, REFRESH_SECONDS - (time.monotonic() - began)))

    def stop(self) -> None:
        self._stopping.set()


def watch() -> None:
    """Show the board until somebody presses `q`; only that, or an exception, ends it."""
    with keys() as pressed:
        looker = _Looker(pressed.wake)
        looker.start()
        try:
            _show(looker, pressed)
        finally:
            looker.stop()


def _show(looker: _Looker, pressed: Keys) -> None:
    out, choice, shown = console(), Choice(), None
    with Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            for key in pressed.wait(None):
                if key == "q":
                    return
                choice = choose(choice, key)
            if looker.refused is not None:
                raise looker.refused
            if shown is None or not choice.paused:
                shown = looker.latest or shown
            if shown is not None:
                live.update(render(shown, choice, width=out.width, height=out.height), refresh=True)


def choose(choice: Choice, key: str) -> Choice:
    """What is chosen after a key."""
    if key == "p":
        return replace(choice, paused=not choice.paused)
    if key in ("j", "k"):
        return replace(choice, offset=max(0, choice.offset + (1 if key == "j" else -1)))
    if key == "s":
        sorts = tuple(sort + (number == choice.section) for number, sort in enumerate(choice.sorts))
        return replace(choice, sorts=sorts, offset=0)
    section = choice.section
    if key in ("tab", "backtab"):
        section = (section + (1 if key == "tab" else -1)) % len(SECTIONS)
    elif key.isdecimal() and 1 <= int(key) <= len(SECTIONS):
        section = int(key) - 1
    return choice if section == choice.section else replace(choice, section=section, offset=0)


def once(seconds: float = 1.0) -> View:
    """Two looks, for rates need two, with `seconds` between them."""
    shown = Board()
    shown.refresh()
    time.sleep(seconds)
    return shown.refresh()
