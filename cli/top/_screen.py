"""The screen of `callboard top`: what is wrong first, then five tables, the chosen one with the most lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from cli import _times
from cli._output import GAP, table
from cli.board._port import API
from cli.top._sections import SECTIONS, Section
from observability.snapshot import BROKER, POSTGRES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from cli._output import Column, Row
    from cli.top._view import View

#: Head and the line of keys.
_FIXED_LINES = 2
_MOST_PROBLEMS, _LEAST_ROWS, _LEAST_OF_THE_LAST = 4, 1, 12


@dataclass(frozen=True)
class Choice:
    """What people have chosen: the section, how each is sorted, how far it is scrolled, whether it stands still."""

    section: int = 0
    sorts: tuple[int, ...] = (0,) * len(SECTIONS)
    offset: int = 0
    paused: bool = False


def render(view: View, choice: Choice, *, width: int, height: int, keys: bool = True) -> RenderableType:
    """The screen on `height` lines of `width` characters; without `keys` the last line is left out."""
    troubles = _troubles(view, width, max(1, min(_MOST_PROBLEMS, height - 16)))
    free = height - _FIXED_LINES + (not keys) - len(troubles) - len(SECTIONS)
    wanted = [max(1, len(section.rows(view))) for section in SECTIONS]
    given = allot(wanted, choice.section, max(free, 0))
    parts = [
        _section(section, view, choice, number, lines, width)
        for number, (section, lines) in enumerate(zip(SECTIONS, given, strict=True))
        if lines or number == choice.section
    ]
    return Group(_head(view, choice, width), *troubles, *parts, *([_keys(choice, width)] if keys else []))


def allot(wanted: Sequence[int], chosen: int, free: int) -> list[int]:
    """Rows for each section: one each, then the chosen one all it wants but a third, then the others in turn."""
    given = [0] * len(wanted)
    for index in (chosen, *(index for index in range(len(wanted)) if index != chosen)):
        if free > 0:
            given[index], free = _LEAST_ROWS, free - _LEAST_ROWS
    # While the others want more than they have, a third is theirs.
    others = sum(wanted) - wanted[chosen] - (sum(given) - given[chosen])
    more = min(wanted[chosen] - given[chosen], free - min(free // 3, max(others, 0)))
    given[chosen], free = given[chosen] + more, free - more
    while free > 0:
        hungry = [index for index in range(len(wanted)) if given[index] < wanted[index]]
        if not hungry:
            break
        least = min(hungry, key=lambda index: given[index])
        given[least], free = given[least] + 1, free - 1
    return given


def _head(view: View, choice: Choice, width: int) -> Text:
    urgent = sum(problem.urgent for problem in view.problems)
    if urgent:
        word, style = f"{urgent} urgent", "bold red"
    elif view.problems:
        word, style = f"{len(view.problems)} to look at", "yellow"
    else:
        word, style = "all is well", "green"
    line = Text.assemble(("callboard top", "bold"), "  ", (word, style))
    if choice.paused:
        line.append("  PAUSED", style="bold yellow")
    line.append(f"  {view.moment:%H:%M:%S} UTC  {_processes(view)}", style="dim")
    rates = f"  rates over {_times.span(view.seconds)}"
    if view.seconds > 0 and line.cell_len + len(rates) <= width:
        line.append(rates, style="dim")
    return _line(line, width)


def _processes(view: View) -> str:
    if view.scheduler is None:
        return "Postgres ?"
    workers = [worker for worker in view.workers if worker["state"] != "silent"]
    busy, threads = (sum(worker[name] for worker in workers) for name in ("busy", "threads"))
    return f"scheduler {view.scheduler}  {busy}/{threads} threads busy"


def _troubles(view: View, width: int, most: int) -> list[Text]:
    found = view.problems
    shown = found if len(found) <= most else found[: most - 1]
    lines = [
        Text.assemble(
            ("!! " if one.urgent else "!  ", "bold red" if one.urgent else "yellow"),
            (one.text, "bold" if one.urgent else ""),
            (f"   {one.command}", "dim"),
        )
        for one in shown
    ]
    if len(shown) < len(found):
        lines.append(Text(f"   and {len(found) - len(shown)} more: callboard top --json lists them", style="dim"))
    return [_line(line, width) for line in lines]


def _section(section: Section, view: View, choice: Choice, number: int, lines: int, width: int) -> RenderableType:
    rows, chosen = section.rows(view), number == choice.section
    missing = [name for name in (API, *section.needs) if name in view.down]
    if missing or not rows:
        told = f"? {_WORDS[missing[0]]} does not answer" if missing else section.empty
        return Group(_title(section, number, chosen=chosen), _line(Text(told, style="dim"), width))
    sort = section.sorts[choice.sorts[number] % len(section.sorts)]
    offset = min(choice.offset, max(0, len(rows) - lines)) if chosen else 0
    ordered = sorted(rows, key=sort.key)[offset : offset + lines]
    title = _title(section, number, chosen=chosen)
    if len(rows) > lines:
        title.append(
            f" {offset + 1}-{offset + len(ordered)} of {section.total(view) or len(rows)}", style="not reverse not bold"
        )
    columns = (replace(section.columns[0], title=title.plain), *section.columns[1:])
    shown = table(ordered, fitting(columns, section.gives_way, ordered, width), width=width)
    shown.columns[0].header = title
    return shown


def fitting(columns: Sequence[Column], gives_way: Sequence[str], rows: Sequence[Row], width: int) -> list[Column]:
    """The columns without those that give way, one after another, until what is left has room.

    The last column may be cut, and counts with a few characters only.
    """
    wide = {column.title: _width(column, rows) for column in columns}
    wide[columns[-1].title] = min(wide[columns[-1].title], _LEAST_OF_THE_LAST)
    for title in gives_way:
        if sum(wide.values()) + GAP * (len(wide) - 1) <= width:
            break
        wide.pop(title, None)
    return [column for column in columns if column.title in wide]


def _width(column: Column, rows: Sequence[Row]) -> int:
    return max([len(column.title), *(cell_len(str(column.cell(row))) for row in rows)])


_WORDS: Mapping[str, str] = {API: "the API", BROKER: "the broker", POSTGRES: "Postgres"}


def _title(section: Section, number: int, *, chosen: bool) -> Text:
    return Text.assemble((f"{number + 1} {section.name}", "reverse" if chosen else "bold"))


def _keys(choice: Choice, width: int) -> Text:
    section = SECTIONS[choice.section]
    sort = section.sorts[choice.sorts[choice.section] % len(section.sorts)].name
    words = f"1-{len(SECTIONS)} tab: section  s: sort ({sort})  j k: scroll  p: {'go on' if choice.paused else 'pause'}"
    return _line(Text(f"{words}  q: quit", style="dim"), width)


def _line(text: Text, width: int) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    text.truncate(width, overflow="ellipsis")
    return text
