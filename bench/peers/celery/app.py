"""The jobs as Celery's first steps declare them; no result backend, as nobody asks for results."""

from __future__ import annotations

import os
import time

from counter import NAP_SECONDS, mark

from celery import Celery

celery = Celery("app", broker=os.environ["BENCH_REDIS_URL"])
celery.conf.task_ignore_result = True
celery.conf.task_default_queue = os.environ["BENCH_QUEUES"].split(",")[0]


@celery.task
def noop(tag: int) -> None:
    mark(tag)


@celery.task
def sleep(tag: int) -> None:
    mark(tag)
    time.sleep(NAP_SECONDS)
