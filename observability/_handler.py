"""The one handler on the root logger: renders a record to a line and writes it; neither may ever fail a job."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from observability import events
from observability._line import Line, read

Renderer = Callable[[Line], str | None]


class LineHandler(logging.Handler):
    """Writes each record as one line in one call of the stream, so that lines of several processes do not mix.

    Without a stream, sys.stderr of the moment is used: Dramatiq replaces it in its worker processes.
    A line that cannot be written is counted in `lost`, and told of once the stream takes lines again.
    """

    def __init__(self, render: Renderer, stream: TextIO | None = None) -> None:
        super().__init__()
        self.lost = 0
        self._render = render
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` under this handler's lock."""
        text = self._text(record)
        if text is None:
            return
        try:
            self._write(self._loss() + text + "\n")
        except Exception:  # noqa: BLE001 - a full disk or a closed pipe must not fail the job that logs; it is counted
            self.lost += 1
        else:
            self.lost = 0

    def _text(self, record: logging.LogRecord) -> str | None:
        try:
            line = read(record)
            _tell(line)
            return self._render(line)
        except Exception as error:  # noqa: BLE001 - what cannot be rendered is told of, and the job goes on
            return self._render(_line(events.UNREADABLE, source=record.name, reason=type(error).__name__))

    def _loss(self) -> str:
        told = self._render(_line(events.LINES_LOST, count=self.lost)) if self.lost else None
        return f"{told}\n" if told else ""

    def _write(self, text: str) -> None:
        stream = self._stream or sys.stderr
        try:
            stream.write(text)
        except UnicodeEncodeError:
            # The stream's encoding lacks a character (LANG=C); spelled out, the line still says what it said.
            stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()


# Whoever wants to see each line too; `logs.add_listener`.
listeners: list[Callable[[Line], None]] = []


def _tell(line: Line) -> None:
    for listener in listeners:
        with suppress(Exception):  # the line is written all the same, and telling of it would be another line
            listener(line)


def _line(event: str, **fields: object) -> Line:
    return Line(at=datetime.now(UTC), level="error", logger=__name__, event=event, fields=fields)
