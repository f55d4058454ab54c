"""One log line before it is written: what a `logging.LogRecord`, ours or a library's, says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from observability import events
from observability._plain import plain

if TYPE_CHECKING:
    import logging

# `job.finished`: a name that programs may look for. All else is prose.
_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Line:
    """`fields` come from the call that logged, `context` from structlog's context variables."""

    at: datetime
    level: str
    logger: str
    event: str
    message: str = ""
    thread: str = ""
    pid: int = 0
    fields: Mapping[str, object] = field(default_factory=dict)
    context: Mapping[str, object] = field(default_factory=dict)
    exception: BaseException | None = None

    @property
    def all_fields(self) -> dict[str, object]:
        """What the call said wins over the context."""
        return {**self.context, **self.fields}


# What else every line of a thread carries; asked when a line is written, so that it costs nothing when none is.
sources: list[Callable[[], Mapping[str, object]]] = []


def _context() -> Mapping[str, object]:
    context: dict[str, object] = {}
    for source in sources:
        context |= source()
    return context | _bound()


def read(record: logging.LogRecord) -> Line:
    """The line of a record; called in the thread that logged, for the context is that thread's."""
    fields = dict(record.msg) if isinstance(record.msg, Mapping) else {}
    text = str(fields.pop("event", "")) if fields else _message(record)
    is_name = isinstance(record.msg, Mapping) and len(text) <= _MAX_NAME and _EVENT_NAME.fullmatch(text)
    return Line(
        at=datetime.fromtimestamp(record.created, UTC),
        level=record.levelname.lower(),
        logger=record.name,
        event=text if is_name else events.MESSAGE,
        message=str(fields.pop("msg", "")) if is_name else text,
        thread=record.threadName or "",
        pid=record.process or 0,
        fields=fields,
        context=_context(),
        exception=_exception(record),
    )


def _bound() -> dict[str, object]:
    """What structlog has bound: nothing where nobody has imported it, and it is too big to import it for that."""
    module = sys.modules.get("structlog.contextvars")
    return {} if module is None else cast("dict[str, object]", module.get_contextvars())


def message_of(error: BaseException) -> str | None:
    """What the exception says, None if nothing or if saying it fails."""
    try:
        return str(error) or None
    except Exception:  # noqa: BLE001 - an exception that cannot say what it is still has a class
        return None


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a library's format string that does not fit its arguments still says something
        return f"{plain(record.msg)} {plain(record.args)}"


def _exception(record: logging.LogRecord) -> BaseException | None:
    found: object = record.exc_info
    if isinstance(found, tuple):
        found = found[1]
    return found if isinstance(found, BaseException) else None
