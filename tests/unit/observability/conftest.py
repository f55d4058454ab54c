from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def clean_logging() -> Iterator[None]:
    """Everything that `configure` changes is as before when the test ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for name in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def configured(clean_logging: None) -> Callable[..., io.StringIO]:  # noqa: ARG001 - it cleans up
    """Configures logs to a stream of text that it returns; other options as for `logs.configure`."""

    def configure(log_format: logs.Format, *, level: str = "info", **options: bool | io.StringIO | None) -> io.StringIO:
        stream = io.StringIO()
        defaults: dict[str, object] = {"stream": stream}
        logs.configure(format=log_format, level=level, service="test", **defaults | options)  # type: ignore[arg-type]  # any of its options
        return stream

    return configure
