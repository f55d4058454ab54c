"""Dead letters run again: each at most once, whoever asks and however often.

Letters are marked and their new runs written in one transaction; the messages leave after it. If the process dies in
between, the reconciler sends them, so a replay is neither lost nor doubled. What operators call, with its audit row,
is in `callboard.operations.letters`.
"""

from __future__ import annotations

from callboard.replay._again import Again, again
from callboard.replay._batch import Written, send, write
from callboard.replay._pace import Pace

__all__ = ["Again", "Pace", "Written", "again", "send", "write"]
