"""Requests to addresses that people type in: webhooks above all.

    answer = post_pinned("https://example.org/hooks", body, {"Content-Type": "application/json"})

No redirects, no proxies, and to the very address that was looked at: a name that leads into the own network is refused,
and cannot lead there a moment later. Not by httpx: it logs URLs and traces them, and a token may be part of one.
"""

from __future__ import annotations

from callboard.outside._addresses import NotPublic, is_public
from callboard.outside._idle import close_idle
from callboard.outside._post import HttpAnswer, post_pinned

__all__ = ["HttpAnswer", "NotPublic", "close_idle", "is_public", "post_pinned"]
