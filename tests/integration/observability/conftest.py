from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from observability import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def log_stream() -> Iterator[io.StringIO]:
    """Where the logs of the test go; all is as before when it ends."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure(format="json", level="info", service="test", stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
