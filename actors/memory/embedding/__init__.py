"""Vectors for memories: `embedding_refresh` of one, `refresh_embeddings` of all that have none as yet."""

from __future__ import annotations

from actors.memory.embedding.job import embedding_refresh, refresh_embeddings

__all__ = ["embedding_refresh", "refresh_embeddings"]
