"""Python imports this by itself when the folder is on its path: the clock is off by `$CHAOS_CLOCK_SHIFT` seconds.

Only what tells the time of day is shifted: `time.time`, `time.time_ns`, `datetime.now` and `utcnow`. The monotonic
clock, sleeps and waits are left alone, as they are when a machine's clock is set wrong. (The library of Debian's
`faketime` 0.9.10 will not do: with a right monotonic clock it breaks `time.sleep`.)

`datetime` is a type of C, so its methods are replaced in the type's own dictionary, which Python shows read-only: a
subclass in its place would not be what `isinstance`, pydantic and psycopg take for a datetime.
"""

from __future__ import annotations

import ctypes
import os
import time
from datetime import UTC, datetime, timedelta, tzinfo

_SHIFT = float(os.environ.get("CHAOS_CLOCK_SHIFT", "0"))
_BEFORE_MAPPING = 2 * ctypes.sizeof(ctypes.c_ssize_t)  # a mappingproxy: reference count, type, then the dictionary


def _shift_functions() -> None:
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + _SHIFT
    time.time_ns = lambda: right_ns() + int(_SHIFT * 1e9)


def _shift_datetime() -> None:
    right = datetime.now

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(right(UTC).timestamp() + _SHIFT, tz)

    def utcnow(cls: type[datetime]) -> datetime:
        return cls(1970, 1, 1) + timedelta(seconds=right(UTC).timestamp() + _SHIFT)

    proxy = datetime.__dict__  # a new object each time, that must live while its address is used
    methods = ctypes.cast(id(proxy) + _BEFORE_MAPPING, ctypes.POINTER(ctypes.py_object)).contents.value
    methods["now"], methods["utcnow"] = classmethod(now), classmethod(utcnow)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


if _SHIFT:
    _shift_functions()
    _shift_datetime()
