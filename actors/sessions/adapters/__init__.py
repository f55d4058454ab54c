"""One adapter a tool: it lists the tool's files, and turns what is new in them into sessions and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.sessions.adapters._model import (
    Adapter,
    Conversation,
    Limits,
    Listing,
    Message,
    Session,
    Slice,
    Source,
    storable,
)
from actors.sessions.adapters.claude import ClaudeAdapter
from actors.sessions.adapters.codex import CodexAdapter
from actors.sessions.adapters.gemini import GeminiAdapter
from actors.sessions.adapters.opencode import OpenCodeAdapter

if TYPE_CHECKING:
    from actors.sessions.settings import SessionsSettings

__all__ = [
    "Adapter",
    "ClaudeAdapter",
    "CodexAdapter",
    "Conversation",
    "GeminiAdapter",
    "Limits",
    "Listing",
    "Message",
    "OpenCodeAdapter",
    "Session",
    "Slice",
    "Source",
    "all_adapters",
    "storable",
]


def all_adapters(settings: SessionsSettings) -> list[Adapter]:
    """The adapters of all four tools, on the folders of the settings."""
    return [
        ClaudeAdapter(settings.claude_dir),
        CodexAdapter(settings.codex_dir),
        OpenCodeAdapter(settings.opencode_dir),
        GeminiAdapter(settings.gemini_dir),
    ]
