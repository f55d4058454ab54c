"""One JSON object a line, ASCII only, with the fields of `events.COMMON_FIELDS` first; absent ones are left out."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from observability._line import Line, message_of
from observability._plain import Plain, clean_text, plain_fields, timestamp
from observability._run_line import run_line
from observability.events import COMMON_FIELDS, JOB_FINISHED, JOB_STARTED
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUN_EVENTS = (JOB_STARTED, JOB_FINISHED)
# The engine's short names in the events of a run, and their names in JSON.
_RUN_NAMES = {"id": "run_id", "status": "outcome"}
_ORDER = tuple(COMMON_FIELDS)
_ABSENT: tuple[Plain, ...] = (None, "", {})
# json.dumps() with options builds an encoder each time.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_STACK_HEAD, _STACK_TAIL = 2000, 6000


@dataclass(frozen=True, slots=True)
class JsonRenderer:
    """`service`, `version` and `instance` name the process and are on each line."""

    service: str
    version: str
    instance: str

    def __call__(self, line: Line) -> str:
        """The line without its newline; never more than one line, for JSON escapes control characters."""
        fixed = self._fixed(line)
        shown = plain_fields({**failure_of(line), **_said(line, fixed)}) | fixed
        ordered = {key: shown[key] for key in (*_ORDER, *shown) if shown.get(key) not in _ABSENT}
        # Of the control characters, JSON leaves DEL alone.
        return _encode(ordered).replace("\x7f", "\\u007f")

    def _fixed(self, line: Line) -> dict[str, Plain]:
        """What no field of the caller may replace."""
        return {
            "ts": timestamp(line.at, "milliseconds"),
            "level": line.level,
            "logger": line.logger,
            "event": line.event,
            "msg": _message(line),
            "service": self.service,
            "version": self.version,
            "instance": self.instance,
            "pid": line.pid,
            "thread": line.thread,
        }


def _message(line: Line) -> str | None:
    if line.event in _RUN_EVENTS and not line.message:
        return run_line(line.event, line.all_fields)
    return clean_text(line.message)


def _said(line: Line, fixed: Mapping[str, object]) -> dict[str, object]:
    """What the caller and the context said; a caller's own "level" or "pid" is kept beside ours as "level_"."""
    said = line.all_fields
    if "job" in said:
        said.setdefault("actor", said["job"])
    if line.event in _RUN_EVENTS:
        said = {_RUN_NAMES.get(key, key): value for key, value in said.items()} | _run_id(said)
    return {f"{key}_" if key in fixed else key: value for key, value in said.items()}


def _run_id(said: Mapping[str, object]) -> dict[str, object]:
    """The id that people read stands for the run's own where the context has none."""
    return {"run_id": said["run_id"], "id": said.get("id")} if "run_id" in said else {}


def failure_of(line: Line) -> dict[str, object]:
    """What the line's exception said, if it has one: `error_type`, `error` and `stack`."""
    if line.exception is None:
        return {}
    # Secrets are looked for before the cut, which could part one from its key.
    stack = _cut(redact_text("".join(traceback.format_exception(line.exception))))
    return {"error_type": type(line.exception).__name__, "error": message_of(line.exception), "stack": stack}


def _cut(stack: str) -> str:
    """The ends of a long traceback: where it began, and what was raised."""
    if len(stack) <= _STACK_HEAD + _STACK_TAIL:
        return stack
    return f"{stack[:_STACK_HEAD]}\n...\n{stack[-_STACK_TAIL:]}"
