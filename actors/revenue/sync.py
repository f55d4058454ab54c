"""The jobs `revenuecat_sync` and `revenuecat_sync_all`: what RevenueCat knows goes into the properties of users.

A user is read and written alone: whatever becomes of it, the next one is not touched by it. Only a refused key ends the
run. Nothing is remembered from run to run, so that each of them writes all of a user's `rc_*` properties anew.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.exc import DataError

from actors.revenue.clients.revenuecat import CallFailed, CustomerMissing, RevenueCat
from actors.revenue.properties import change
from actors.revenue.settings import get_revenue_settings
from actors.revenue.users import count_users, integration, keep, projects_to_sync, users
from callboard import (
    AuthenticationError,
    Backoff,
    Delays,
    DuplicateRun,
    PermanentError,
    cron,
    current_run,
    job,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.revenue.properties import Names
    from actors.revenue.settings import RevenueSettings
    from callboard import Run

ANONYMOUS = "$RCAnonymousID:"
_SAMPLES = 10
_LOOK_SECONDS = 0.25  # how often a waiting run looks whether it is cancelled


@job(
    "revenuecat_sync",
    queue="revenue",
    scope="project",
    durable=True,
    on_crash="fail",
    retry=Delays(30, 120),
    time_limit=6 * 3600,
    label="RevenueCat Sync",
)
def revenuecat_sync(project_id: str) -> None:
    """Sync subscriber data from RevenueCat for all users in a project."""
    settings, run, project = get_revenue_settings(), current_run(), _parsed(project_id)
    run.count(total=0, synced=0, skipped=0, skipped_anonymous=0, active=0, inactive=0, not_found=0, errors=0, partial=0)
    source = integration(project)
    total = count_users(project)
    run.count(total=total)
    if total == 0:
        run.quiet()
        return
    try:
        with RevenueCat(settings, source.api_key, wait=_waiting(run)) as client:
            provider_project = source.provider_project or _first_project(client)
            sync = _Sync(run, settings, project, client, provider_project)
            sync.all(users(project), total)
    except (AuthenticationError, _NoProject) as error:
        run.note(aborted=True, abort_reason=str(error))
        raise


@job(
    "revenuecat_sync_all",
    queue="revenue",
    cadence=cron("0 3 * * *"),
    on_crash="fail",
    retry=Backoff(max_retries=3, base=60),
    time_limit=600,
    label="RevenueCat Sync of all projects",
)
def revenuecat_sync_all() -> None:
    """Start a RevenueCat sync for each project that has the integration."""
    run, found = current_run(), projects_to_sync()
    run.count(projects=len(found), started=0, already_running=0)
    for project in found:
        if run.cancelled:
            return
        try:
            revenuecat_sync.send(project_id=str(project))
        except DuplicateRun:
            run.count(already_running=1)
        else:
            run.count(started=1)
    if not found:
        run.quiet()


class _NoProject(PermanentError):  # noqa: N818 - the outcome's name
    pass


class _Sync:
    """One run over the users of a project."""

    def __init__(
        self, run: Run, settings: RevenueSettings, project: UUID, client: RevenueCat, provider_project: str
    ) -> None:
        self._run, self._settings, self._project = run, settings, project
        self._client, self._provider_project = client, provider_project
        self._names: Names = client.names(provider_project)
        self._done, self._asked = 0, False
        self._failed: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {"not_found": [], "errors": []}

    def all(self, found: Iterable[str], total: int) -> None:
        """Read and write one user after the other, until they are through or somebody cancels.

        Raises:
            AuthenticationError: RevenueCat refuses the key.
        """
        self._tell(total)
        try:
            for user_id in found:
                is_anonymous = user_id.startswith(ANONYMOUS)
                if not is_anonymous:
                    self._pause()
                if self._run.cancelled:
                    self._run.note(cancelled_at=self._done)
                    break
                if is_anonymous:
                    self._run.count(skipped=1, skipped_anonymous=1)
                else:
                    self._one(user_id)
                self._done += 1
                if self._done % self._settings.revenuecat_progress_users == 0:
                    self._tell(total)
        finally:
            self._tell(total)
            self._note_failures()

    def _pause(self) -> None:
        """Between two users that RevenueCat is asked about."""
        if self._asked:
            _waiting(self._run)(self._settings.revenuecat_pause_seconds)
        self._asked = True

    def _one(self, user_id: str) -> None:
        try:
            self._sync(user_id)
        except CustomerMissing:
            self._skip("not_found", user_id)
        except CallFailed as error:
            self._failed[error.status] += 1
            self._run.log.warning("revenuecat.user_failed", user_id=user_id, status=error.status, error=str(error))
            self._skip("errors", user_id)
        except DataError as error:  # a text that Postgres does not hold, such as one with a NUL
            self._failed["data"] += 1
            self._run.log.warning("revenuecat.user_unwritable", user_id=user_id, error=str(error.orig))
            self._skip("errors", user_id)

    def _sync(self, user_id: str) -> None:
        customer, failed = self._client.customer(self._provider_project, user_id)
        changed = change(customer, self._names, now=datetime.now(UTC))
        keep(self._project, user_id, changed)
        self._failed.update(error.status for error in failed)
        is_active = bool(customer.entitlements)
        self._run.count(synced=1, active=is_active, inactive=not is_active, partial=bool(failed))

    def _skip(self, why: str, user_id: str) -> None:
        self._run.count(**{"skipped": 1, why: 1})
        if len(self._samples[why]) < _SAMPLES:
            self._samples[why].append(user_id)

    def _tell(self, total: int) -> None:
        counts = self._run.counts
        message = f"Synced {counts['synced']} users, {counts['skipped']} skipped"
        self._run.progress(self._done, max(total, self._done), message)

    def _note_failures(self) -> None:
        if self._failed:
            self._run.note(error_status_counts=dict(self._failed))
        for name, why in (("not_found_users", "not_found"), ("error_users", "errors")):
            more = self._run.counts[why] - len(self._samples[why])
            if self._samples[why]:
                self._run.note(**{name: self._samples[why] + ([f"…and {more} more"] if more else [])})


def _parsed(project_id: str) -> UUID:
    try:
        return UUID(project_id)
    except ValueError:
        raise PermanentError(
            f"project_id={project_id!r} is no project's id; `callboard projects list` has them"
        ) from None


def _first_project(client: RevenueCat) -> str:
    found = client.projects()
    if not found:
        raise _NoProject(
            "RevenueCat's key may see no project; make a secret key of API version 2 in the project's settings there"
        )
    return found[0]


def _waiting(run: Run) -> Callable[[float], bool]:
    """Waits for so many seconds; False as soon as somebody cancels the run."""

    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not run.cancel_requested:
            time.sleep(min(left, _LOOK_SECONDS))
        return not run.cancel_requested

    return wait
