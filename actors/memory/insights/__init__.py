"""Insights: once a UTC day what a tenant's memories come to, and a user's, if they changed since."""

from __future__ import annotations

from actors.memory.insights.job import generate_daily_insights, tenant_snapshot, user_snapshot

__all__ = ["generate_daily_insights", "tenant_snapshot", "user_snapshot"]
