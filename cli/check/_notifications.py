"""Notifications: whether what is asked for can be sent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from callboard.channel_urls import channels
from callboard.job import all_jobs
from callboard.ledger import notifications as ledger
from callboard.ledger.database import transaction
from callboard.ledger.outgoing import QUEUE
from callboard.mail_server import MailServer
from cli.check._finding import error, ok, warning
from cli.check._jobs import consumed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.channel_urls import Channel
    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "notify"
_PACKAGES = {"webhook": "standardwebhooks", "apprise": "apprise"}


def checks(settings: Settings) -> Iterator[Finding]:
    """Mail and the other channels; nothing is sent."""
    yield from _mail(settings)
    known = channels(settings.notify_channels)
    for channel in known.values():
        yield from _channel(channel)
    yield from _disabled(known)
    if settings.system_jobs_alert_email or known or _asking():
        yield from _queue()


def _asking() -> list[str]:
    return [f"job {name!r} (notify)" for name, job in all_jobs().items() if job.spec.notify]


def _queue() -> Iterator[Finding]:
    """Notifications lie in a queue of their own, which a worker with a list of queues may not have."""
    worked_on = consumed()
    if worked_on and QUEUE not in worked_on:
        mend = f"leave CALLBOARD_QUEUES empty, or start a worker for it: callboard worker --queue {QUEUE}"
        yield warning(_NAME, f"nobody works on the queue {QUEUE!r}: nothing is sent", mend)


def _mail(settings: Settings) -> Iterator[Finding]:
    wanted = _asking()
    if settings.system_jobs_alert_email:
        wanted.insert(0, "SYSTEM_JOBS_ALERT_EMAIL")
    if settings.smtp_url is None:
        if wanted:
            mend = "set CALLBOARD_SMTP_URL=smtp://user:password@host:587, then: callboard notifications test mail."
            yield error(_NAME, f"{', '.join(wanted)} asks for mail, and CALLBOARD_SMTP_URL is not set", mend)
        return
    server = MailServer.parse(settings.smtp_url.get_secret_value())
    if server.tls == "none" and server.user and server.host not in ("localhost", "127.0.0.1", "::1"):
        yield warning(_NAME, f"the password for {server.host} goes over the wire in the clear", "write tls=starttls.")
    yield ok(_NAME, f"mail goes out by {server.host}:{server.port} ({server.tls})")


def _channel(channel: Channel) -> Iterator[Finding]:
    package = _PACKAGES.get(channel.kind)
    if package is not None and find_spec(package) is None:
        yield error(
            _NAME, f"channel {channel.name!r} needs the package {package}", "pip install 'callboard[channels]'."
        )
    else:
        yield ok(_NAME, f"channel {channel.name!r} is {channel.kind}")


def _disabled(known: dict[str, Channel]) -> Iterator[Finding]:
    try:
        with transaction() as connection:
            rows = ledger.disabled(connection)
    except (SQLAlchemyError, LookupError):  # the database's own check tells of it
        return
    for row in rows:
        channel = known.get(row["name"])
        if channel is not None and channel.fingerprint == row["fingerprint"]:
            mend = f"give it another URL, or, once it answers again: callboard notifications test {channel.name}"
            since = f"{row['disabled_at']:%Y-%m-%d %H:%M} UTC"
            yield warning(_NAME, f"channel {channel.name!r} is disabled since {since}: {row['why']}", mend)
