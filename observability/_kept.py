"""A log line as it is kept beside what it tells of: redacted and bounded like the one that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability import events
from observability._json import failure_of
from observability._plain import Plain, clean_text, plain_fields, timestamp

if TYPE_CHECKING:
    from observability._line import Line

_OWN = ("at", "level", "event", "logger", "msg")


def kept(line: Line) -> dict[str, Plain]:
    """`{at, level, event, logger, msg?, field: value, ...}`; for prose, `event` is the prose.

    Fields are those of the call that logged; one that has a name of ours gets an underscore behind it. What an
    exception said is in `error_type`, `error` and `stack`.
    """
    is_prose = line.event == events.MESSAGE
    own: dict[str, Plain] = {
        "at": timestamp(line.at, "milliseconds"),
        "level": line.level,
        "event": clean_text(line.message) if is_prose else line.event,
        "logger": line.logger,
    }
    if line.message and not is_prose:
        own["msg"] = clean_text(line.message)
    fields = plain_fields({**failure_of(line), **line.fields})
    return own | {f"{name}_" if name in _OWN else name: value for name, value in fields.items()}
