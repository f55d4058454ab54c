"""What operators do, from whichever door: command line, API or console. Every act writes its row into `board.audit`.

One file for each kind of thing acted upon. An act takes `who` asks and, where a reason makes sense, `why`; what it
refuses is a `CallboardError` that says why.
"""

from __future__ import annotations

from callboard.operations._audit import Who, audit

__all__ = ["Who", "audit"]
