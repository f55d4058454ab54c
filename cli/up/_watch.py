"""Look after the board and show it, until somebody stops it: a screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from rich.live import Live

from cli import _times, runs
from cli._ids import short
from cli._options import operator
from cli._output import console, say
from cli.up._first_runs import FirstRuns
from cli.up._news import Reporter
from cli.up._screen import render

if TYPE_CHECKING:
    from typing import NoReturn

    from cli.up._board import Board
    from cli.up._news import News

_log = structlog.get_logger(__name__)
_ROUND_SECONDS = 1.0
_PAUSE_SECONDS = 0.2


def watch(board: Board) -> NoReturn:
    """Tend and show the board once a second; only an exception ends it."""
    if console().is_terminal:
        _on_screen(board)
    _in_lines(board)


class _Rounds:
    """One round a second; those that find everything ready ask for the first runs."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._reporter = Reporter(board)
        self._first_runs = FirstRuns(by=operator())
        self.ready_after: float | None = None

    def next(self) -> tuple[News, list[str]]:
        """Wait for the next round; the news, and what happened to the children."""
        deadline, happened = time.monotonic() + _ROUND_SECONDS, self._board.tend()
        while self.ready_after is not None and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            happened += self._board.tend()
        if self.ready_after is None:
            time.sleep(_PAUSE_SECONDS)
        news = self._reporter.look()
        if news.ready and self.ready_after is None:
            self.ready_after = time.monotonic() - self._board.began
        if news.ready:
            self._ask_for_first_runs()
        return news, happened

    def _ask_for_first_runs(self) -> None:
        try:
            self._first_runs.advance()
        except Exception as error:  # noqa: BLE001 - whatever is away now: the next round tries again
            _log.warning("first_run.not_asked_for", error=str(error))


def _on_screen(board: Board) -> NoReturn:
    rounds, out = _Rounds(board), console()
    with Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            news, _ = rounds.next()
            seconds = time.monotonic() - board.began
            live.update(render(board, news, seconds=seconds, width=out.width, height=out.height), refresh=True)


def _in_lines(board: Board) -> NoReturn:
    rounds, teller = _Rounds(board), _Teller(board)
    while True:
        news, happened = rounds.next()
        for line in happened:
            say(f"callboard: {line}")
        if rounds.ready_after is not None:
            teller.tell(news, rounds.ready_after)


class _Teller:
    """Each part once, each finished run once, each trouble when it comes and when it goes."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._told: set[object] = set()
        self._told_links: set[str] = set()
        self._trouble = ""
        self._greeted = False

    def tell(self, news: News, ready_after: float) -> None:
        """Print what is new."""
        if not self._greeted:
            self._greet(news, ready_after)
        if news.link and news.link not in self._told_links:
            say(f"callboard: open {news.link} to sign in to the console, once")
            self._told_links.add(news.link)
        if news.trouble != self._trouble:
            say(f"callboard: {news.trouble or 'all is well again'}")
            self._trouble = news.trouble
        for run in reversed(news.finished):
            if run["id"] not in self._told:
                took = runs.took(run)
                after = "" if took is None else f" in {_times.span(took)}"
                say(f"{_times.clock(run['finished_at'], news.moment)} {run['job']} {run['state']}{after}  "
                    f"{runs.summary(run)}  run {short(run['id'])}")  # fmt: skip
        self._told = {run["id"] for run in news.finished}

    def _greet(self, news: News, ready_after: float) -> None:
        for part in news.parts:
            say(f"callboard: {part.name} {part.state} pid={part.pid or '-'} {part.where}")
        say(f"callboard: ready after {_times.span(ready_after)}; try `callboard runs`; see {self._board.metrics_url}")
        self._told = {run["id"] for run in news.finished}
        self._greeted = True
