"""Circuit breakers: a target that fails again and again is left alone for a while, by all workers at once.

    with breaker(f"siem:{destination}"):      # raises BreakerOpen while the target is left alone
        client.post(...)                      # raises TransientError, or an httpx error, when it fails

Their state is in the ledger. What a process knows of it is at most `FRESH_SECONDS` old; so a call costs no statement
while its target is well, and one process needs one statement a second, however many targets it has.
"""

from __future__ import annotations

from callboard.breakers.circuit import Breaker, breaker
from callboard.breakers.known import FRESH_SECONDS

__all__ = ["FRESH_SECONDS", "Breaker", "breaker"]
