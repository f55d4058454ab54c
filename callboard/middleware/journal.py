"""Journal: the line that says that an attempt begins; the line of its end is written when it is in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq import Middleware

from callboard.journal import started
from callboard.middleware._execution import execution_of

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy


class Journal(Middleware):
    """Logs `job.started`, once the attempt may run and has its trace."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002 - hook
        """Say so."""
        execution = execution_of(message)
        if execution is not None:
            started(execution.run, execution.spec, eligible_at=execution.facts.eligible_at)
