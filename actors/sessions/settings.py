"""Settings of the catalogue, each read from `CALLBOARD_SESSIONS_<NAME>`; nothing reads the environment at import."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024
MIB = 1024 * KIB


class SessionsSettings(BaseSettings):
    """Where session files are found and how they are read; sizes in bytes, durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_SESSIONS_", frozen=True)

    # collect_all
    claude_dir: Path = Field(default=Path("~/.claude/projects"), description="Claude Code: one folder per project.")
    codex_dir: Path = Field(default=Path("~/.codex"), description="Codex: history.jsonl and sessions/Y/M/D.")
    opencode_dir: Path = Field(
        default=Path("~/.local/share/opencode/storage"), description="OpenCode: session, message, part."
    )
    gemini_dir: Path = Field(default=Path("~/.gemini/tmp"), description="Gemini: <hash>/chats.")
    max_line_bytes: int = Field(
        default=8 * MIB, ge=KIB, description="A longer line is skipped and counted as oversized."
    )
    max_document_bytes: int = Field(
        default=32 * MIB, ge=KIB, description="The same for a file that is one JSON document."
    )
    collect_batch_messages: int = Field(
        default=5_000, ge=1, le=100_000, description="Messages written in one transaction."
    )
    collect_batch_bytes: int = Field(
        default=8 * MIB, ge=KIB, description="Bytes of input after which a batch is written."
    )
    overlap_seconds: float = Field(
        default=1800.0,
        ge=0,
        description="A file changed within so long may still be written to: its torn end is left alone.",
    )
    keep_raw: bool = Field(default=True, description="Keep the source's own JSON of each message in messages.raw.")

    @field_validator("claude_dir", "codex_dir", "opencode_dir", "gemini_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


@lru_cache(maxsize=1)
def get_sessions_settings() -> SessionsSettings:
    """The settings of this process, read from the environment at the first call.

    Raises:
        pydantic.ValidationError: A value is out of range; it names the field and the value.
    """
    return SessionsSettings()
