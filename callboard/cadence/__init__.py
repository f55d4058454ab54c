"""When a recurring job is due: `cron("*/5 * * * *")` and `every(seconds=30)`, in UTC, on a fixed grid.

A cadence is an immutable value: all processes that hold an equal one agree on every fire, whatever their host's
time zone and whenever they were started. docs/decisions/0001-cadences.md says why it is built as it is.
"""

from __future__ import annotations

from callboard.cadence._base import Cadence
from callboard.cadence._cron import Cron, cron
from callboard.cadence._every import Every, every
from callboard.errors import CadenceError

__all__ = ["Cadence", "CadenceError", "Cron", "Every", "cron", "every"]
