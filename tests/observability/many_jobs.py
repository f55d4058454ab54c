"""2,000 jobs declared by mistake, one that counts with a metric of its own, and one that breaks the metrics' folder."""

from __future__ import annotations

import os
import shutil

from prometheus_client import Counter

from callboard import job

SOLD = Counter("shop_sold_total", "Things that were sold.", ["kind"])


@job("sell")
def sell(kind: str) -> None:
    """Count with a metric of the author's own."""
    SOLD.labels(kind).inc()


@job("vandal")
def vandal() -> None:
    """Remove the folder in which all processes count."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def nothing() -> None:
    """Do nothing."""


for number in range(2000):
    job(f"mistake_{number:04}")(nothing)
