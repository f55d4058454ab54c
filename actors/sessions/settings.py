"""Settings of the catalogue, each read from `CALLBOARD_SESSIONS_<NAME>`; nothing reads the environment at import."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from callboard import get_settings

KIB = 1024
MIB = 1024 * KIB


def _home() -> Path:
    """Where the catalogue keeps what it makes, unless a setting says otherwise."""
    return get_settings().home / "sessions"


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
        default=16 * MIB, ge=KIB, description="The same for a file that is one JSON document."
    )
    collect_batch_messages: int = Field(
        default=5_000, ge=1, le=100_000, description="Messages written in one transaction."
    )
    collect_batch_bytes: int = Field(
        default=4 * MIB, ge=KIB, description="Bytes of input after which a batch is written."
    )
    overlap_seconds: float = Field(
        default=1800.0,
        ge=0,
        description="A file changed within so long may still be written to: its torn end is left alone.",
    )
    keep_raw: bool = Field(default=True, description="Keep the source's own JSON of each message in messages.raw.")

    # index_pending
    ollama_url: str = Field(
        default="http://127.0.0.1:11434", pattern=r"^https?://", description="Where Ollama answers, without a path."
    )
    ollama_model: str = Field(default="bge-m3", min_length=1, description="Embedding model; `ollama pull` fetches it.")
    ollama_timeout_seconds: float = Field(default=120.0, gt=0, description="Longest wait for one answer of Ollama.")
    embedding_dimensions: int = Field(default=1024, ge=1, le=65_536, description="Length of the model's vectors.")
    embed_batch: int = Field(default=32, ge=1, le=1_000, description="Texts in one request to Ollama.")
    index_batch: int = Field(default=50, ge=1, le=1_000, description="Messages embedded and marked together.")
    index_batch_bytes: int = Field(
        default=4 * MIB, ge=KIB, description="Text of a batch; one longer message is a batch of its own."
    )
    index_limit: int = Field(default=3_000, ge=1, description="Most messages of one run.")
    chunk_longest: int = Field(default=2_000, ge=200, description="Characters of the longest chunk.")
    chunk_overlap: int = Field(default=200, ge=0, description="Characters that two cuts of one block share.")
    chunk_shortest: int = Field(default=100, ge=0, description="Shorter blocks of a long message are not indexed.")
    vectors_dir: Path = Field(default_factory=lambda: _home() / "vectors", description="Folder of LanceDB.")

    # compact
    vectors_keep_seconds: float = Field(
        default=3_600.0,
        ge=1,
        description="Old versions of the vectors younger than this stay: somebody may still be reading them.",
    )
    vectors_fragments: int = Field(
        default=500, ge=2, description="Data files of the vectors after which an index run merges them at its end."
    )

    # backup
    backup_dir: Path = Field(default_factory=lambda: _home() / "backups", description="Folder of the backups.")
    backup_name: str = Field(
        default="sessions.db", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", description="Name before `.bak-<time>`."
    )
    backup_keep: int = Field(default=30, ge=1, description="Newest backups that are kept.")
    backup_batch_rows: int = Field(default=50, ge=1, le=10_000, description="Rows held in memory while copying.")

    # check_and_archive_all
    archive_dir: Path = Field(default_factory=lambda: _home() / "archives", description="Folder of the archives.")
    archive_preset: int = Field(
        default=6, ge=0, le=9, description="xz preset; 6 takes 96 MB of memory, 9 takes 674 MB and gains little."
    )
    archive_quiet_hours: int = Field(
        default=24, ge=1, description="A day is archived once its last second is so long ago."
    )
    archive_daily_days: int = Field(default=7, ge=1, description="Least age of a whole week before it is merged.")
    archive_weekly_weeks: int = Field(default=4, ge=0, description="Least age of a whole month before it is merged.")
    archive_monthly_months: int = Field(default=12, ge=0, description="Least age of a whole year before it is merged.")

    @field_validator(
        "claude_dir", "codex_dir", "opencode_dir", "gemini_dir", "vectors_dir", "backup_dir", "archive_dir"
    )
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
