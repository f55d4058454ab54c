"""Live updates: one LISTEN connection for the process, and a stream of server-sent events for every listener.

    NOTIFY ──▶ Listener ──▶ Hub: numbers it, keeps the last ones ──▶ Subscriber: what it may hear, coalesced by topic
                                                                          │ at most one a topic every 0.8 s
                                                                          ▼
                                                                    GET /v1/stream

Only topics wait for a listener, never messages: a slow one costs no memory, and hears once what happened ten times.
"""

from __future__ import annotations

from console.live.hub import Full, Hub

__all__ = ["Full", "Hub"]
