"""A logger for processes that stay small: structlog's way of calling it, without structlog (15 MB).

Its events pass through the same handlers as all others, see `observability.logs`.
"""

from __future__ import annotations

import logging


class PlainLog:
    """`log.info("worker.died", child="worker-1")`: the event and its fields, as one record of the standard library."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """What only helps to find a fault."""
        self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something is not as it should be, and is being dealt with."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something went wrong that people should know of."""
        self._tell(logging.ERROR, event, fields)

    def _tell(self, level: int, event: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            error = fields.pop("exc_info", None)
            told = error if isinstance(error, BaseException) else bool(error)
            self._logger.log(level, {"event": event, **fields}, exc_info=told or None)
