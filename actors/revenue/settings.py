"""Settings of the catalogue, each read from `CALLBOARD_REVENUE_<NAME>`; nothing reads the environment at import."""

from __future__ import annotations

from functools import lru_cache

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RevenueSettings(BaseSettings):
    """Limits and addresses of the revenue jobs; durations in seconds unless the name says days."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_REVENUE_", frozen=True, populate_by_name=True)

    # revenuecat_sync
    revenuecat_url: str = Field("https://api.revenuecat.com/v2", description="RevenueCat's API.")
    revenuecat_timeout_seconds: float = Field(10.0, gt=0, description="Longest wait for an answer.")
    revenuecat_pause_seconds: float = Field(0.35, ge=0, description="Pause between users: about three a second.")
    revenuecat_tries: int = Field(3, ge=1, le=20, description="How often a call is made that is refused for its rate.")
    revenuecat_longest_wait_seconds: float = Field(
        60.0, ge=0, description="Longest wait before such a call, told or not."
    )
    revenuecat_page_limit: int = Field(100, ge=1, description="Pages after which a list is given up on.")
    revenuecat_progress_users: int = Field(10, ge=1, description="Users between two reports of progress.")
    revenuecat_catalogue_seconds: float = Field(300.0, ge=0, description="How long product names are remembered.")

    # db_pruning
    max_database_size_gb: float = Field(
        0.0,
        ge=0,
        description="Size (1024^3 bytes) above which the oldest events go; 0: never. Also MAX_DATABASE_SIZE_GB.",
        validation_alias=AliasChoices("CALLBOARD_REVENUE_MAX_DATABASE_SIZE_GB", "MAX_DATABASE_SIZE_GB"),
    )
    pruning_batch: int = Field(1_000, ge=1, description="Rows deleted in one statement.")
    pruning_batches: int = Field(100, ge=1, description="Such statements in one run.")

    # soft_delete_cleanup
    soft_delete_days: float = Field(7.0, ge=0, description="Days between soft and hard deletion.")
    soft_delete_batch: int = Field(5_000, ge=1, description="Event rows deleted in one transaction.")

    # partition_creation, db_pruning
    partition_lock_seconds: float = Field(
        0.5, gt=0, le=0.5, description="Longest wait for a lock to make or drop a partition; then the run fails."
    )
    partition_months_ahead: int = Field(2, ge=0, le=24, description="Months after the current one that are made.")


@lru_cache(maxsize=1)
def get_revenue_settings() -> RevenueSettings:
    """The settings, read once; `get_revenue_settings.cache_clear()` reads them anew."""
    return RevenueSettings()
