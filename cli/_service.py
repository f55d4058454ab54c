"""What the long-running commands share: their logs, a clean end on a signal, and how they start one another."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from callboard.settings import get_settings
from observability import logs

if TYPE_CHECKING:
    from types import FrameType


def configure_logs(service: str) -> None:
    """Logs as the settings want them."""
    settings = get_settings()
    logs.configure(
        format=settings.log_format,
        level=settings.log_level,
        service=service,
        show_correlation=settings.log_correlation,
    )


def command(*words: str) -> list[str]:
    """The command line that runs `callboard <words>` with this Python, installed or not."""
    return [sys.executable, "-m", "cli", *words]


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set; a second signal changes nothing."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping
