"""A board that sends: real servers for mail, Telegram and webhooks, and the engine's own job to call them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from callboard import Delays, notifications
from sandbox.smtp import SmtpStandIn
from sandbox.telegram import TelegramStandIn
from sandbox.webhook_receiver import WebhookReceiver
from tests.board import Board, open_board
from tests.support import eventually

#: What waits for another try is tried again at once, so that no test waits for the real pauses.
RETRY = Delays(*[0.05] * 100, jitter=0)


@pytest.fixture
def mailbox() -> Iterator[SmtpStandIn]:
    with SmtpStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    with TelegramStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as stand_in:
        yield stand_in


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str, mailbox: SmtpStandIn
) -> Iterator[Callable[..., Board]]:
    """Opens the board with these settings; mail goes to the mailbox."""
    with ExitStack() as stack:

        def open_it(**given: Any) -> Board:  # noqa: ANN401 - settings
            smtp = f"smtp://127.0.0.1:{mailbox.smtp_port}?tls=none"
            settings = {"smtp_url": smtp, "mail_from": "board@example.org", **given}
            board = stack.enter_context(open_board(monkeypatch, postgres_url, broker_url, **settings))
            notifications.declare(board.broker, retry=RETRY)
            return board

        yield open_it


def told(board: Board) -> list[tuple[str, str, str, str]]:
    """Event, channel, target and state of every notification, oldest first."""
    rows = board.query("select event, channel, target, state from board.notifications order by id")
    return [tuple(row) for row in rows]  # type: ignore[misc]  # four of them


def settled(board: Board, count: int) -> list[tuple[str, str, str, str]]:
    """The same, once there are so many and none waits any more."""

    def look() -> list[tuple[str, str, str, str]]:
        found = told(board)
        assert len(found) == count, found
        assert all(state != "pending" for *_, state in found), found
        return found

    return eventually(look, 15, what=f"{count} notifications that were sent or given up")
