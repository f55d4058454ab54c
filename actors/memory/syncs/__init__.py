"""Connections to providers, kept in step: what changes there becomes candidates for memories here.

    process_scheduled_syncs -> a sync job for each connection that is due -> run_sync_job -> pages of the provider
        -> external_objects, and candidates that `process_capture_queue_job` decides on

    PENDING -> RUNNING -> COMPLETED
                       -> PENDING     to be tried again, after 60, 300 and 900 s
                       -> FAILED      tried often enough, or trying again cannot help
                       -> CANCELLED

A page, its candidates and the cursor behind it are committed together: a job that dies goes on with the next page. The
connection's own cursor moves only when a job has completed.

A text that several objects of a connection say is proposed for one of them. Where that one is gone, or says something
else, the next one takes its place.

The capture queue decides on the candidates in its own time: the view `memory.sync_results` tells of each sync how many
memories were created and updated so far, and how many candidates are undecided.
"""

from __future__ import annotations

from actors.memory.syncs.discovery import process_scheduled_syncs
from actors.memory.syncs.job import run_sync_job
from actors.memory.syncs.requests import request_sync

__all__ = ["process_scheduled_syncs", "request_sync", "run_sync_job"]
