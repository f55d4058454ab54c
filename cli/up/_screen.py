"""The one screen of `callboard up`: everything on 24 lines of 80 characters, more where there is more room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from cli import _times, runs
from cli._ids import short
from cli._output import Column, Row, state, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cli.up._board import Board
    from cli.up._news import Due, News

_PARTS = (
    Column("what", lambda part: part["name"], keep=True),
    Column("pid", lambda part: str(part["pid"] or ""), justify="right", keep=True),
    Column("state", lambda part: state(part["state"]), keep=True),
    Column("where", lambda part: part["where"]),
)
_DUE = (
    Column("due next", lambda due: due["when"], keep=True),
    Column("", lambda due: due["job"]),
)
_MOST_DUE, _LEAST_LINES = 6, 2
#: Lines that are there whatever happens: head, two headings, three gaps, the last two lines.
_FIXED_LINES = 10


def render(board: Board, news: News, *, seconds: float, width: int, height: int) -> RenderableType:
    """The screen as of `news`, `seconds` after the start, on `height` lines of `width` characters."""
    notes = _notes(board, news)
    free = max(2 * _LEAST_LINES, height - _FIXED_LINES - len(news.parts) - len(notes))
    due = news.due[: max(_LEAST_LINES, min(_MOST_DUE, free // 2))]
    ended = (news.running + news.finished)[: max(_LEAST_LINES, free - len(due))]
    return Group(
        _head(news, seconds),
        Text(),
        table([vars(part) for part in news.parts], _PARTS, width=width),
        Text(),
        table([_due_row(each, news) for each in due], _DUE, width=width),
        Text(),
        _finished(ended, news, width),
        Text(),
        *notes,
        *_last_lines(board, news, width),
    )


def _head(news: News, seconds: float) -> Text:
    word = ("ready", "green") if news.ready else ("starting", "yellow")
    line = Text.assemble(("callboard", "bold"), "  ", word, f"  for {_times.span(int(seconds))}")
    return line.append(f"  {news.moment:%Y-%m-%d %H:%M:%S} UTC", style="dim")


def _due_row(due: Due, news: News) -> Row:
    return {"when": "paused" if due.at is None else _times.relative(due.at, news.moment), "job": due.job}


def _finished(ended: Sequence[Row], news: News, width: int) -> RenderableType:
    if not ended:
        return Text("just finished\nnothing yet", style="dim")
    return table([{**run, "now": news.moment} for run in ended], _ENDED, width=width)


def _took(run: Row) -> str:
    if run["finished_at"] is None:
        return _times.span(max(0.0, (run["now"] - run["started_at"]).total_seconds()))
    seconds = runs.took(run)
    return "" if seconds is None else _times.span(seconds)


_ENDED = (
    Column("just finished", lambda run: _times.relative(run["finished_at"] or run["now"], run["now"]), keep=True),
    Column("", lambda run: run["job"]),
    Column("", lambda run: state(run["state"]), keep=True),
    Column("", _took, keep=True),
    Column("", runs.summary),
)


def _notes(board: Board, news: News) -> list[Text]:
    lines = [Text(note, style="dim") for note in board.notes]
    if news.dead:
        letters = "1 dead letter waits" if news.dead == 1 else f"{news.dead} dead letters wait"
        lines.insert(0, Text(f"{letters}: callboard dead-letters list", style="bold red"))
    if news.trouble:
        lines.insert(0, Text(news.trouble, style="bold red"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _last_lines(board: Board, news: News, width: int) -> list[Text]:
    newest = next((short(run["id"]) for run in news.finished), "ID")
    steps = f"try: callboard runs | callboard run show {newest} | callboard schedules --next"
    if news.link:
        # Cut short it would be worthless.
        steps = f"open {news.link}" if len(news.link) + 5 <= width else "sign in to the console: callboard console link"
    lines = [Text(steps), Text(f"metrics: {board.metrics_url}   Ctrl-C stops everything", style="dim")]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines
