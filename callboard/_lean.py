"""Imports redis-py and structlog without extras that they import when they find them installed.

redis-py brings in the OpenTelemetry SDK for metrics of its own, structlog brings in rich and Pygments for tracebacks
that our renderer draws itself. Nothing of it is used here, and it costs each worker process some 15 MB. Both libraries
are made to be imported without these; a program that imports them before Callboard gets them whole.
"""

from __future__ import annotations

import importlib
import sys


def _import_without(module: str, *absent: str) -> None:
    hidden = {name: sys.modules.get(name) for name in absent if name not in sys.modules}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how "not there" is said
    try:
        importlib.import_module(module)
    finally:
        for name in hidden:
            del sys.modules[name]


_import_without("structlog", "rich")
_import_without("redis", "opentelemetry")
