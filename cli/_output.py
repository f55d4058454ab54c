"""How everything is printed: calm tables for people, one JSON array for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli._times import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = Mapping[Any, Any]  # a dict, or SQLAlchemy's RowMapping, whose keys are typed otherwise
Cell = str | Text

#: Between two columns.
GAP = 2
_LEAST_WIDTH = 6
#: A pipe has no width: there, nothing is cut.
_PIPE_WIDTH = 300

_STATE_STYLES = {
    "completed": "green",
    "running": "cyan",
    "failed": "bold red",
    "cancelled": "yellow",
    "pending": "",
    "open": "bold red",
    "half_open": "yellow",
    "alive": "green",
    "draining": "yellow",
    "dead": "bold red",
    "paused": "yellow",
    "error": "bold red",
    "warning": "yellow",
    "starting": "yellow",
    "restarting": "bold red",
}


@dataclass(frozen=True)
class Column:
    """One column of a table; `keep` columns are never cut, others give way on a narrow terminal."""

    title: str
    cell: Callable[[Row], Cell]
    justify: Literal["left", "right"] = "left"
    keep: bool = False


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr that marks nothing up by itself."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def say(line: Cell, *, stderr: bool = False) -> None:
    """Print one line as it is."""
    console(stderr=stderr).print(line, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """`1 error`, `2,000 errors`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def state(name: str | None) -> Text:
    """A state in its colour."""
    return Text(name or "", style=_STATE_STYLES.get(name or "", ""))


def table(rows: Iterable[Row], columns: Sequence[Column], *, width: int | None = None) -> Table:
    """The rows as a table without lines, `width` characters at most; without one, as wide as the terminal."""
    filled = [[_text(column.cell(row)) for column in columns] for row in rows]
    widths = _widths(columns, filled, console().width if width is None else width)
    made = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim", pad_edge=False)
    for column, size in zip(columns, widths, strict=True):
        made.add_column(column.title, justify=column.justify, no_wrap=True, overflow="ellipsis", width=size)
    for cells in filled:
        made.add_row(*cells)
    return made


def _widths(columns: Sequence[Column], filled: Sequence[Sequence[Text]], total: int) -> list[int]:
    """What each column gets: all it wants, unless there is too little room; then the right ones give way first."""
    widths = [
        max([len(column.title), *(cells[index].cell_len for cells in filled)]) for index, column in enumerate(columns)
    ]
    excess = sum(widths) + GAP * (len(columns) - 1) - total
    for index in reversed(range(len(columns))):
        if excess > 0 and not columns[index].keep:
            given = min(excess, max(0, widths[index] - _LEAST_WIDTH))
            widths[index] -= given
            excess -= given
    return widths


def _text(cell: Cell) -> Text:
    """One line of it: a line break in an error message must not break the row."""
    made = Text(cell) if isinstance(cell, str) else cell.copy()
    return made.split("\n")[0] if "\n" in made.plain else made


def show(rows: Sequence[Row], columns: Sequence[Column], *, as_json: bool, empty: str) -> None:
    """Print a listing: one JSON array, a table, or, when there is nothing, what to do next."""
    if as_json:
        print_json(rows)
    elif not rows:
        say(empty)
    else:
        console().print(table(rows, columns))


def print_json(value: object) -> None:
    """Print JSON: times in ISO 8601 with a Z, durations in seconds."""
    sys.stdout.write(json.dumps(value, default=_plain, indent=2, ensure_ascii=False) + "\n")


def _plain(value: object) -> object:
    match value:
        case datetime():
            return iso(value)
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case Mapping():
            return dict(value)
        case _:
            return str(value)


def pick(row: Row, names: Iterable[str]) -> dict[str, Any]:
    """The named fields of a row, in that order: the stable keys of a listing's JSON."""
    return {name: row[name] for name in names}


def counts(values: Mapping[str, Any] | None) -> str:
    """`scanned=842 summarised=37`: what is 0 is left out, unless all of it is."""
    if not values:
        return ""
    told = " ".join(f"{name}={value}" for name, value in values.items() if value != 0)
    return told or "all counts are 0"
