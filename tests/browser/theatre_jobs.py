"""Jobs of a believable board, under the names of the five systems; the slow ones wait for the test's word."""

from __future__ import annotations

import threading

import structlog

from callboard import (
    AuthenticationError,
    Delays,
    NoRetry,
    PermanentError,
    TransientError,
    cron,
    current_run,
    every,
    job,
)

#: Set, every waiting job goes on; a test or a picture that wants them running leaves it clear.
GO_ON = threading.Event()
#: Set, what failed for good works.
MENDED = threading.Event()
_log = structlog.get_logger("theatre")
_LONGEST = 60.0


def _until_told(step: float = 0.02) -> None:
    run = current_run()
    waited = 0.0
    while not (GO_ON.wait(step) or run.cancelled) and waited < _LONGEST:
        waited += step


@job("tier_transition_job", queue="maintenance", cadence=cron("0 * * * *"), owner="memory", label="Tier transition")
def tier_transition() -> None:
    """Move memories between hot, warm and cold by access age."""
    run = current_run()
    run.count(scanned=1842, to_warm=37, to_cold=211)
    run.log.info("tiers.moved", to_warm=37, to_cold=211)


@job("apply_forgetting_policies_job", queue="maintenance", cadence=cron("30 * * * *"), owner="memory")
def forgetting() -> None:
    """Lower the decay score of what nobody recalls."""
    current_run().count(scanned=5120, faded=88)


@job("siem_forwarding_job", queue="integrations", cadence=cron("*/5 * * * *"), retry=Delays(0.02, 0.02))
def siem(destination: str = "splunk-eu") -> None:
    """Forward audit logs in batches of 100."""
    run = current_run()
    run.log.info("siem.batch", destination=destination, events=100)
    run.log.warning("siem.slow", destination=destination, seconds=9.8)
    raise TransientError(f"connect timeout to {destination}:8088 after 10 s")


@job("webhook.deliver", queue="webhooks", retry=NoRetry(), runbook="https://runbooks.example.org/webhooks")
def deliver(delivery: str, endpoint: str, authorization: str = "") -> None:  # noqa: ARG001 - a secret to be hidden
    """Deliver one webhook."""
    run = current_run()
    run.log.info("webhook.attempt", id=delivery, endpoint=endpoint)
    if MENDED.is_set() or delivery.endswith("0"):
        run.note(http_status=200)
        return
    run.note(http_status=410)
    raise PermanentError(f"the endpoint {endpoint} answered 410 Gone; the subscription is over")


@job("ingest_emails", queue="ingest", cadence=every(seconds=300))
def ingest_emails(mailbox: str = "anna@example.org") -> None:
    """Read new mail of every mailbox."""
    run = current_run()
    for done in (12, 40, 87):
        run.progress(done, 240, f"{mailbox}: {done} of 240 read")
    _until_told()
    run.count(read=240, important=9)


@job("classify_emails", queue="ai", cadence=cron("0 */6 * * *"), retry=NoRetry())
def classify() -> None:
    """Label mail with a language model."""
    run = current_run()
    run.tokens("classification", model="qwen3:8b", prompt=48_211, completion=1_904, calls=61)
    run.count(classified=61)


@job("threema_polling", queue="ingest", cadence=every(seconds=3), retry=NoRetry())
def threema() -> None:
    """Poll the gateway."""
    raise AuthenticationError("stored cookies are not authenticated; sign in to the gateway again")


@job("SyncInstagramProfileStories", queue="social", durable=True, retry=NoRetry())
def stories(account: str, access_token: str = "") -> None:  # noqa: ARG001 - a secret to be hidden
    """Read a profile's stories."""
    if MENDED.is_set():
        return
    raise LookupError(f"the stories of {account} have no media")


@job("revenuecat_sync", queue="revenue", scope="project", label="RevenueCat sync")
def revenuecat(project_id: str, limit: int = 100, dry_run: bool = False) -> None:  # noqa: FBT001, FBT002 - its form has a tick
    """Copy subscriptions of a project's users."""
    run = current_run()
    run.progress(38, limit, "Synced 38 users, 7 skipped")
    run.note(dry_run=dry_run, project=project_id)
    _until_told()
    run.count(synced=38, skipped=7)


@job("backup", queue="archive", cadence=cron("0 2 * * *"), single=True)
def backup() -> None:
    """Copy the archive away."""
    run = current_run()
    run.progress(3, 8, "archive-2026-03.tar.xz")
    _until_told()
    run.count(files=8)


@job("compact", queue="archive", cadence=cron("30 3 * * *"))
def compact() -> None:
    """Rewrite the vectors."""
    current_run().count(rows=18_220)


@job("db_pruning", queue="maintenance", cadence=cron("0 * * * *"))
def pruning() -> None:
    """Drop partitions above the limit."""
    current_run().note(skipped=True, reason="MAX_DATABASE_SIZE_GB is not set")
