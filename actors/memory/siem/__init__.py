"""Audit rows are forwarded to the systems that a tenant's auditors watch: Splunk, Datadog, or an endpoint of their own.

    siem_forwarding_job, every 5 minutes --one run a destination--> siem_forward_batch --> batches of 100, in order
    a row of security, after its commit  --one run a destination-->

A destination's cursor moves only once it has answered 2xx, so it may get a batch twice, under the same batch id, and
never gets a later one before an earlier one. After the last attempt the batch becomes a dead letter and the cursor
stays: replay it (`callboard dead-letters replay`, or `callboard trigger siem_forward_batch --arg destination=...`), or
go on without it (`callboard trigger siem_skip_batch --arg batch=...`). `callboard destinations list` says which.
"""

from __future__ import annotations

from actors.memory.siem.at_once import URGENT, forward_at_once
from actors.memory.siem.batches import batch_id
from actors.memory.siem.destinations import Destination, add_destination
from actors.memory.siem.forward import siem_forward_batch
from actors.memory.siem.letters import siem_skip_batch
from actors.memory.siem.tick import siem_forwarding_job

__all__ = [
    "URGENT",
    "Destination",
    "add_destination",
    "batch_id",
    "forward_at_once",
    "siem_forward_batch",
    "siem_forwarding_job",
    "siem_skip_batch",
]
