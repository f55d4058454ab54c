"""Send one notification: by its channel, noted in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from callboard.channel_urls import channels
from callboard.compose import get_broker
from callboard.errors import PermanentError
from callboard.ledger import listing
from callboard.ledger import notifications as ledger
from callboard.ledger.database import transaction
from callboard.ledger.outgoing import Outgoing, facts_of_row, leave
from callboard.metering import count_notified
from callboard.notifications import mail, notice, others, telegram, webhook
from callboard.settings import get_settings
from callboard.spec import spec_of
from observability.redaction import redact_text

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from callboard.channel_urls import Channel
    from callboard.notifications.notice import Notice
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LONGEST_ERROR = 1000


def send(settings: Settings, told: Notice, channel: str, target: str) -> None:
    """Send a notice by `mail` to an address, or by a channel of that name.

    Raises:
        TransientError, PermanentError, AuthenticationError: It did not go; see the channels.
    """
    if channel == "mail":
        mail.send(settings, told, target)
        return
    known = channels(settings.notify_channels).get(target)
    if known is None:
        raise PermanentError(f"CALLBOARD_NOTIFY_CHANNELS names no channel {target!r}.")
    _by(settings, known, told)


def _by(settings: Settings, channel: Channel, told: Notice) -> None:
    match channel.kind:
        case "telegram":
            telegram.send(settings, channel, told)
        case "webhook":
            webhook.send(settings, channel, told)
        case "apprise":
            others.send(channel, told)


def deliver(notification: int) -> None:
    """Send a notification of the ledger, unless it went out before.

    Raises:
        TransientError, PermanentError, AuthenticationError: It did not go; the notification says why.
    """
    settings = get_settings()
    row = _begin(notification)
    if row["state"] == "sent":
        return
    try:
        send(settings, notice.of_row(row, settings, label=_label(row["job"])), row["channel"], row["target"])
    except Exception as error:
        count_notified(row["channel"], "failed")
        _failed(settings, row, error)
        raise
    with transaction() as connection:
        ledger.sent(connection, notification)
    count_notified(row["channel"], "sent")


def _label(job: str) -> str:
    """What people call a job; empty where this process does not know it."""
    actor = get_broker().actors.get(job)
    return "" if actor is None else spec_of(actor).label


def _begin(notification: int) -> RowMapping:
    with transaction() as connection:
        row = ledger.load(connection, notification)
        if row is None:
            raise PermanentError(f"There is no notification {notification} any more.")
        if row["state"] != "sent":
            ledger.trying(connection, notification)
        return row


def _failed(settings: Settings, row: RowMapping, error: Exception) -> None:
    with transaction() as connection:
        ledger.not_sent(connection, row["id"], redact_text(str(error))[:_LONGEST_ERROR])
        if isinstance(error, webhook.ChannelGone):
            _disable(connection, settings, row, str(error))
    leave()


def _disable(connection: Connection, settings: Settings, row: RowMapping, why: str) -> None:
    known = channels(settings.notify_channels)[row["target"]]
    if not ledger.disable(connection, known.name, known.fingerprint, why):
        return
    logger.error("notify.channel_disabled", channel=known.name, why=why)
    told = {**listing.run(connection, str(row["run_id"])), "interval_seconds": None}
    Outgoing(settings).channel_disabled(connection, known.name, facts_of_row(told))
