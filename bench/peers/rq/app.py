"""The jobs as the guide of RQ has them: plain functions."""

from __future__ import annotations

import time

from counter import NAP_SECONDS, mark


def noop(tag: int) -> None:
    """Mark the start."""
    mark(tag)


def sleep(tag: int) -> None:
    """Mark the start and wait."""
    mark(tag)
    time.sleep(NAP_SECONDS)
