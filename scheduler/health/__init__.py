"""Health checks of the leader: each opens the issues of what it finds, and resolves them when it is over."""

from __future__ import annotations

from scheduler.health.loop import HealthChecks

__all__ = ["HealthChecks"]
