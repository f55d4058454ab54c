"""Logs: structlog for our code, the standard library for others', one renderer for both.

    configure(format="auto", level="info", service="worker")
    log = structlog.get_logger(__name__)
    log.info("sessions.file_torn", path=path, line=812)

What `add_context` sources say (correlation id, run, job) and what is bound by `structlog.contextvars` is on each JSON
line of that thread, libraries' too.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Literal, TextIO, cast

from observability._handler import LineHandler, Renderer, listeners
from observability._json import JsonRenderer
from observability._kept import kept
from observability._line import Line, sources
from observability._text import TextRenderer
from observability._version import version as find_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

__all__ = [
    "FORMATS",
    "LEVELS",
    "Format",
    "Line",
    "add_context",
    "add_listener",
    "configure",
    "kept",
    "lost_lines",
    "resolve_format",
]

Format = Literal["auto", "json", "text"]
FORMATS: tuple[Format, ...] = ("auto", "json", "text")
LEVELS = ("debug", "info", "warning", "error", "critical")

# Libraries that tell of each request at INFO.
_CHATTY = ("httpcore", "httpx", "urllib3")
# Dramatiq repeats, with the message's arguments, what the run's own line says.
_REPEATED = {"dramatiq.worker.WorkerThread": ("Failed to process message ", "Message %s was skipped")}


def configure(
    *,
    format: Format,  # noqa: A002 - the word operators know
    level: str,
    service: str,
    stream: TextIO | None = None,
    show_correlation: bool = False,
    version: str | None = None,
    small: bool = False,
) -> None:
    """Send all logs of this process to `stream` (sys.stderr without one); calling it again replaces what was set.

    Our events go through structlog, unless `small`: then only `PlainLog` and the standard library may log here.
    `version`, that of Callboard, is looked up if it is not given. `auto` is text on a terminal and JSON elsewhere; a
    process that starts others on pipes should hand them `resolve_format()`, for they see no terminal.
    `show_correlation` appends the correlation id to lines of text.
    Raises ValueError on an unknown format or level.
    """
    number = _level(level)
    chosen = resolve_format(format, stream)
    render = _renderer(chosen, service, version or find_version(), stream, show_correlation=show_correlation)
    _install(LineHandler(render, stream))
    logging.getLogger().setLevel(number)
    _quieten(number)
    if not small:
        _configure_structlog()


def _configure_structlog() -> None:
    import structlog  # noqa: PLC0415 - 15 MB that a small process does without

    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def add_context(source: Callable[[], Mapping[str, object]]) -> None:
    """Ask `source` for fields at each line, in the thread that logs; what `structlog.contextvars` holds wins."""
    if source not in sources:
        sources.append(source)


def add_listener(listener: Callable[[Line], None]) -> None:
    """Call `listener` with each line before it is written, in the thread that logs and under the handler's lock.

    It must be quick and must not log; what it raises is swallowed. `kept(line)` is the line as one may keep it.
    """
    if listener not in listeners:
        listeners.append(listener)


def resolve_format(asked: Format, stream: TextIO | None = None) -> Literal["json", "text"]:
    """What `auto` means on this stream."""
    if asked not in FORMATS:
        raise ValueError(f"log format {asked!r} is unknown: use one of {', '.join(FORMATS)}")
    if asked == "auto":
        return "text" if _is_terminal(stream) else "json"
    return asked


def lost_lines() -> int:
    """Lines that the stream has refused since it last took one."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, LineHandler))


def _level(level: str) -> int:
    if level.lower() not in LEVELS:
        raise ValueError(f"log level {level!r} is unknown: use one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[level.upper()]


def _renderer(chosen: str, service: str, version: str, stream: TextIO | None, *, show_correlation: bool) -> Renderer:
    if chosen == "text":
        return TextRenderer(show_correlation=show_correlation, colour=_shows_colour(stream))
    return JsonRenderer(service=service, version=version, instance=socket.gethostname())


def _is_terminal(stream: TextIO | None) -> bool:
    # sys.stderr is None under pythonw and in some daemons.
    chosen = cast("TextIO | None", stream or sys.stderr)
    return chosen is not None and chosen.isatty()


def _shows_colour(stream: TextIO | None) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _install(handler: LineHandler) -> None:
    """Put `handler` in the place of our last one and of `logging.basicConfig`'s, which Dramatiq and periodiq call."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        # Not isinstance: handlers derived from StreamHandler (pytest's, a file's) were put there on purpose.
        if isinstance(old, LineHandler) or type(old) is logging.StreamHandler:
            root.removeHandler(old)
    root.addHandler(handler)


def _quieten(level: int) -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if level > logging.DEBUG else logging.NOTSET)
    for name in _REPEATED:
        logging.getLogger(name).addFilter(_demote_repeated)  # the same function is added once only


def _demote_repeated(record: logging.LogRecord) -> bool:
    """Make a repeated line DEBUG, and keep it only if DEBUG is asked for."""
    if not str(record.msg).startswith(_REPEATED.get(record.name, ())):
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def _hand_over(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> tuple[tuple[Mapping[str, object]], dict[str, object]]:
    """The last structlog processor: the event becomes the `msg` of a LogRecord, and `_line.read` takes it out again."""
    options = {key: event.pop(key) for key in ("exc_info", "stack_info") if event.get(key)}
    return (dict(event),), options
