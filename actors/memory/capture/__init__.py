"""The capture queue: of what integrations propose, memories are made.

candidates.propose -> memory_candidates, pending -> process_capture_queue_job -> created, with a memory
                                                                              -> discarded_low_signal, _transient,
                                                                                 _redundant or _policy
"""

from __future__ import annotations

from actors.memory.capture.job import process_capture_queue_job, promote_candidate

__all__ = ["process_capture_queue_job", "promote_candidate"]
