"""Heat and importance: what is recalled often is scored anew, at once or in the next batch, and all now and then."""

from __future__ import annotations

from actors.memory.heat.job import intelligence_reevaluate, reevaluate_memory

__all__ = ["intelligence_reevaluate", "reevaluate_memory"]
