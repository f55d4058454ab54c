"""Lines for a person at a terminal: calm, aligned, one a line; colour only where the terminal shows it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from observability._line import Line, message_of
from observability._plain import clean_text
from observability._run_line import Paint, run_line, unpainted
from observability._spelling import pairs, quote, spell
from observability.events import JOB_FINISHED, JOB_STARTED, MESSAGE

# Known from the run's own lines, or needed by machines only.
_HIDDEN = frozenset(["correlation_id", "message_id", "run_id", "sampled", "span_id", "trace_id"])
_FRAMES = 3
_LEVEL_WIDTH = 8

_DIM, _RED, _GREEN, _YELLOW, _CYAN = "2", "31", "32", "33", "36"
_COLOURS = {
    "critical": _RED,
    "dead_letter": _RED,
    "debug": _DIM,
    "dim": _DIM,
    "error": _RED,
    "failed": _RED,
    "info": _GREEN,
    "interrupted": _YELLOW,
    "name": _CYAN,
    "postponed": _YELLOW,
    "retry": _YELLOW,
    "success": _GREEN,
    "warning": _YELLOW,
}


@dataclass(frozen=True, slots=True)
class TextRenderer:
    """`show_correlation` appends the correlation id; `colour` paints levels and outcomes with ANSI codes."""

    show_correlation: bool = False
    colour: bool = False

    def __call__(self, line: Line) -> str | None:
        """The line without its newline, or None where text says nothing."""
        if line.event in (JOB_STARTED, JOB_FINISHED):
            text = run_line(line.event, line.all_fields, self._paint)
            return None if text is None else " ".join([text, *self._correlation(line)])
        return " ".join([self._head(line), *self._message(line), *self._tail(line)])

    @property
    def _paint(self) -> Paint:
        return _painted if self.colour else unpainted

    def _head(self, line: Line) -> str:
        time = self._paint(line.at.strftime("%H:%M:%S"), "dim")
        level = self._paint(line.level.ljust(_LEVEL_WIDTH), line.level)
        return f"{time} {level} [{self._paint(_component(line), 'name')}]"

    def _message(self, line: Line) -> list[str]:
        name = [] if line.event == MESSAGE else [line.event]
        return [*name, *([_prose(line.message)] if line.message else [])]

    def _tail(self, line: Line) -> list[str]:
        fields = {key: value for key, value in line.fields.items() if key not in _HIDDEN | {"component", "job"}}
        job = line.all_fields.get("job")
        return [*pairs({"job": job}), *pairs(fields), *_failure(line), *self._correlation(line)]

    def _correlation(self, line: Line) -> list[str]:
        return pairs({"correlation_id": line.all_fields.get("correlation_id")}) if self.show_correlation else []


def _painted(text: str, meaning: str) -> str:
    code = _COLOURS.get(meaning)
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _component(line: Line) -> str:
    """The part of the system a person knows: `actors.sessions.collect` is sessions, `callboard.retry` callboard."""
    named = line.fields.get("component")
    names = [part for part in (str(named) if named else line.logger).split(".") if part] or ["root"]
    chosen = names[1] if names[0] == "actors" and len(names) > 1 else names[0]
    return spell(clean_text(chosen))


def _prose(message: str) -> str:
    """A message as it is if it fits on a line, without quotes around it; control characters are escaped."""
    return quote(clean_text(message))[1:-1].replace('\\"', '"')


def _failure(line: Line) -> list[str]:
    """What went wrong and where, innermost frame first: `error="ValueError: x" at="store.py:12 write < ..."`."""
    if line.exception is None:
        return []
    said = [] if "error" in line.fields else [f"error={quote(clean_text(_describe(line.exception)))}"]
    frames = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in _frames(line.exception)]
    return [*said, *([f"at={quote(' < '.join(frames))}"] if frames else [])]


def _describe(error: BaseException) -> str:
    return ": ".join(filter(None, [type(error).__name__, message_of(error)]))


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    # Without lookup_lines=False the source files would be read.
    walk = traceback.walk_tb(error.__traceback__)
    return list(reversed(traceback.StackSummary.extract(walk, lookup_lines=False)))[:_FRAMES]
