"""The scheduler process: one leader fires the cadences and mends what crashes left; standbys wait for its lock."""

from __future__ import annotations

from scheduler.process import Scheduler, run

__all__ = ["Scheduler", "run"]
