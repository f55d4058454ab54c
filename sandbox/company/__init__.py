"""A made-up company for the catalogues memory and revenue: the same seed tells the same story.

`fill(url, Plan(...))` or `python -m sandbox.company --database URL` puts it into a migrated database: tenants, users
and their memories as a system holds them that has been running for half a year and was last looked after a day ago,
so that every job finds a day's work; teams, projects, apps and their events beside it. Keys and ciphertexts are made
anew each time, in the format that the catalogue documents, so that it can read them.
"""

from __future__ import annotations

from sandbox.company._fill import Filled, fill
from sandbox.company._plan import Plan

__all__ = ["Filled", "Plan", "fill"]
