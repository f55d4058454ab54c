"""Send a test message by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from callboard.channel_urls import channels
from callboard.errors import Invalid
from callboard.ids import new_id
from callboard.ledger import notifications as ledger
from callboard.ledger.database import transaction
from callboard.notifications.notice import Notice, console_url
from callboard.notifications.sending import send
from callboard.operations._audit import audit
from callboard.settings import get_settings
from observability.redaction import redact_text

if TYPE_CHECKING:
    from callboard.operations._audit import Who
    from callboard.settings import Settings


class Tried(NamedTuple):
    """What became of one message; `error` is None if it went."""

    channel: str
    target: str
    error: str | None


def try_out(target: str, to: str | None, *, who: Who, why: str = "") -> list[Tried]:
    """Send a test message now, from this process; a channel that was disabled and takes it is used again.

    Args:
        target: `mail`, or a name of CALLBOARD_NOTIFY_CHANNELS.
        to: For mail: the address; None: those of SYSTEM_JOBS_ALERT_EMAIL.
        who: Who asks.
        why: The reason that was given.

    Raises:
        Invalid: There is no such channel, or no address.
    """
    settings = get_settings()
    tried = [_try(settings, *one) for one in _targets(settings, target, to)]
    with transaction() as connection:
        for one in tried:
            if one.channel == "webhook" and one.error is None:
                ledger.enable(connection, one.target)
            detail = {"channel": one.channel, "error": one.error}
            audit(connection, who, "notification.test", ("notification", one.target), why=why, detail=detail)
    return tried


def _targets(settings: Settings, target: str, to: str | None) -> list[tuple[str, str]]:
    if target == "mail":
        addresses = (to,) if to else settings.system_jobs_alert_email
        if not addresses:
            raise Invalid("to", "say where with --to ADDRESS, or set SYSTEM_JOBS_ALERT_EMAIL.")
        return [("mail", address) for address in addresses]
    known = channels(settings.notify_channels)
    if target not in known:
        names = ", ".join(["mail", *known])
        raise Invalid("target", f"{target!r} is no channel; there is {names}. CALLBOARD_NOTIFY_CHANNELS names more.")
    return [(known[target].kind, target)]


def _try(settings: Settings, channel: str, target: str) -> Tried:
    url = f"{console_url(settings)}/admin/background_jobs"
    told = Notice(id=f"test-{new_id()}", event="test", label="Test", url=url)
    try:
        send(settings, told, channel, target)
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the answer
        return Tried(channel, target, redact_text(f"{type(failure).__name__}: {failure}"))
    return Tried(channel, target, None)
