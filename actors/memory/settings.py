"""Settings of the catalogue, each read from `CALLBOARD_MEMORY_<NAME>`; nothing reads the environment at import.

What a tenant may set otherwise stands in `memory.tenant_settings`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_WEIGHTS = 7


class MemorySettings(BaseSettings):
    """Rules, limits and addresses of the memory jobs; durations in seconds unless the name says days or hours."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_MEMORY_", frozen=True)

    # language model and embeddings
    model_url: str = Field("https://api.openai.com/v1", description="An OpenAI-compatible API.")
    model_key: SecretStr | None = Field(None, description="Its key; unset: jobs that need the model fail and say so.")
    chat_model: str = Field("gpt-5-mini", description="Model that writes summaries and insights.")
    embedding_model: str = Field("text-embedding-3-small", description="Model that embeds texts.")
    embedding_dimensions: int = Field(512, ge=8, le=4000, description="Length of its vectors.")
    embed_batch: int = Field(64, ge=1, le=2048, description="Texts in one request for embeddings.")
    model_timeout_seconds: float = Field(60.0, gt=0, description="Longest wait for the model.")
    embed_longest: int = Field(24_000, ge=1, description="Characters of a text that are embedded; the rest is not.")
    embed_pending_batch: int = Field(500, ge=1, description="Memories that are looked through at once for vectors.")
    embed_whole_pass_hours: float = Field(24.0, gt=0, description="How often all memories are, not only the new ones.")

    # auto_summarization_job
    summary_min_cluster_size: int = Field(3, ge=2, description="Memories of one key that are worth a summary.")
    cluster_interval_hours: float = Field(6.0, ge=0, description="How often a tenant's clusters are looked at.")
    summary_tenant_limit: int = Field(200, ge=1, description="Clusters of one tenant that one run sums up.")
    summary_members: int = Field(50, ge=2, description="Memories, the newest, that a summary is made of.")
    summary_longest: int = Field(2_000, ge=100, description="Characters of a summary; a longer one is refused.")
    prompt_longest: int = Field(60_000, ge=1000, description="Characters of memories that one prompt holds.")

    # apply_forgetting_policies_job, tier_transition_job, retention_enforcement_job
    lifecycle_batch: int = Field(1_000, ge=1, le=50_000, description="Memories looked at in one transaction.")

    # apply_forgetting_policies_job
    decay_window_days: float = Field(30.0, ge=0, description="Days without a recall before a memory decays.")
    decay_half_life_days: float = Field(30.0, gt=0, description="Days in which its score halves then.")
    decay_floor: float = Field(0.05, ge=0, le=1, description="No score falls below this.")

    # tier_transition_job
    hot_to_warm_days: float = Field(30.0, gt=0, description="Days without a recall until a hot memory turns warm.")
    warm_to_cold_days: float = Field(180.0, gt=0, description="Days in warm without a recall until it turns cold.")
    hot_quota: int = Field(10_000, ge=0, description="Hot memories of one user; 0: no limit.")

    # retention_enforcement_job
    archive_after_days: float = Field(90.0, gt=0, description="Days until a memory is archived.")
    archive_window_days: float = Field(60.0, ge=0, description="Days that it stays in the archive.")
    grace_days: float = Field(7.0, ge=0, description="Days between soft and hard deletion.")

    retention_step_hours: float = Field(
        12.0, ge=0, description="Least time in each state of retention: a run that is repeated makes no second step."
    )

    # what becomes of a new memory
    warm_ttl_days: float = Field(7.0, ge=0, description="A memory that lives no longer than this starts warm.")
    cold_ttl_days: float = Field(1.0, ge=0, description="One that lives no longer than this starts cold.")

    # generate_daily_insights_job
    insights_top: int = Field(200, ge=1, description="Most important memories in a sample.")
    insights_recent: int = Field(100, ge=1, description="Most recent memories in a sample.")
    insights_per_topic: int = Field(3, ge=1, description="Memories of each topic in a sample.")

    # process_capture_queue_job
    capture_batch: int = Field(200, ge=1, le=5000, description="Candidates locked at once.")
    capture_limit: int = Field(100_000, ge=1, description="Candidates of one run; what is more waits for the next.")
    capture_min_characters: int = Field(12, ge=1, description="A shorter candidate is of low signal.")
    capture_redundant_similarity: float = Field(0.95, gt=0, le=1, description="Cosine from which it is redundant.")
    capture_transient_pattern: str = Field(
        r"\b(?:today|tonight|tomorrow|right now|just now|at the moment|in a (?:minute|moment|meeting)"
        r"|this (?:morning|afternoon|evening)|on (?:my|the) way|running late|(?:be|come) right back"
        r"|at the (?:airport|station|gate|hotel|gym|office|shop|store|supermarket|doctor|dentist))\b",
        description="What it matches will not be true for long; a regular expression, in any case.",
    )
    capture_attempts: int = Field(5, ge=1, description="Runs that try a candidate which cannot be decided on.")
    gating_threshold: float = Field(0.30, ge=0, le=1, description="Importance below which a memory is gated.")

    # process_scheduled_syncs
    sync_page_limit: int = Field(50, ge=1, description="Pages that one sync job reads.")
    sync_tenant_limit: int = Field(3, ge=1, description="Sync jobs of one tenant in flight.")
    sync_patience_seconds: float = Field(
        10.0, ge=0, description="Longest wait for a provider's rate limit that is sat out; then the run is given back."
    )
    github_url: str = Field("https://api.github.com", description="GitHub's API.")
    notion_url: str = Field("https://api.notion.com", description="Notion's API.")
    google_drive_url: str = Field("https://www.googleapis.com", description="Google's API.")
    google_token_url: str = Field("https://oauth2.googleapis.com/token", description="Where Google renews tokens.")
    onedrive_url: str = Field("https://graph.microsoft.com", description="Microsoft Graph.")
    onedrive_token_url: str = Field(
        "https://login.microsoftonline.com/common/oauth2/v2.0/token", description="Where Microsoft renews tokens."
    )
    google_client_id: str = Field("", description="OAuth client at Google.")
    google_client_secret: SecretStr | None = Field(None, description="Its secret.")
    onedrive_client_id: str = Field("", description="OAuth client at Microsoft.")
    onedrive_client_secret: SecretStr | None = Field(None, description="Its secret.")

    # siem_forwarding_job
    siem_enabled: bool = Field(default=True, description="The master switch of forwarding.")
    siem_batch: int = Field(100, ge=1, le=1000, description="Audit rows in one request.")
    siem_timeout_seconds: float = Field(15.0, gt=0, description="Longest wait for a destination.")

    # cleanup_expired_sessions, audit_log_retention
    cleanup_batch: int = Field(1_000, ge=1, le=50_000, description="Rows deleted in one transaction.")

    # audit_log_retention
    audit_retention_days: float = Field(365.0, gt=0, description="Days that audit rows are kept.")

    # intelligence_reevaluate
    heat_batched: int = Field(5, ge=1, description="Recalls in 24 hours that make a memory warm enough to be scored.")
    sweep_days: float = Field(7.0, gt=0, description="In so many days every memory is scored anew.")
    heat_immediate: int = Field(20, ge=1, description="Recalls in one hour that have it scored at once.")
    importance_weights: Annotated[tuple[float, ...], NoDecode] = Field(
        (0.25, 0.25, 0.15, 0.10, 0.05, 0.10, 0.10),
        description="Of recency, frequency, content type, source trust, size, density and plan; they add up to 1.",
    )

    # webhook.deliver
    webhook_poll_limit: int = Field(50, ge=1, le=1000, description="Deliveries that the poller takes up at once.")
    webhook_concurrency: int = Field(10, ge=1, description="Deliveries in flight, over all workers.")
    webhook_endpoint_concurrency: int = Field(2, ge=1, description="Of these, to one endpoint.")
    webhook_retry_base_seconds: float = Field(5.0, gt=0, description="Wait before the first retry.")
    webhook_retry_factor: float = Field(4.0, ge=1, description="Each further wait is so many times longer.")
    webhook_max_retries: int = Field(2, ge=0, le=50, description="Retries after the first attempt.")
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=30, description="Longest wait for an endpoint.")
    webhook_disable_after_days: float = Field(
        5.0, ge=0, description="A webhook whose every attempt has failed for so long is disabled; 0: none is."
    )
    webhook_retention_days: float = Field(30.0, gt=0, description="Days that what was delivered is kept.")
    allow_private: bool = Field(
        default=False, description="Webhooks and SIEM may call private and loopback addresses, and plain HTTP."
    )

    @field_validator("importance_weights", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("importance_weights")
    @classmethod
    def _add_up(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != _WEIGHTS or min(value) < 0 or abs(sum(value) - 1) > 1e-6:  # noqa: PLR2004 - of rounding
            raise ValueError(f"importance_weights {value} must be {_WEIGHTS} numbers from 0 that add up to 1.")
        return value


@lru_cache(maxsize=1)
def get_memory_settings() -> MemorySettings:
    """The settings, read once; `get_memory_settings.cache_clear()` reads them anew."""
    return MemorySettings()
