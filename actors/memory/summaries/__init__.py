"""Summaries: one memory a cluster, which says what the others of the same user, scope, type and key say.

`summarise_cluster` makes one as soon as a write makes it due (`wanted`); `auto_summarization_job` looks for what that
has left undone.
"""

from __future__ import annotations

from actors.memory.summaries.job import auto_summarization, summarise_cluster, wanted

__all__ = ["auto_summarization", "summarise_cluster", "wanted"]
