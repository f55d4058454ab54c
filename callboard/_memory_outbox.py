"""What `callboard.outbox` is under `callboard.testing`: no ledger, and any database that SQLAlchemy knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dramatiq import Message
    from sqlalchemy import Connection

    _Taker = Callable[[list[Message[Any]]], object]


class MemoryOutbox:
    """Messages that leave when the transaction of their connection commits.

    Args:
        send: Takes those of a transaction that commits.
        forget: Takes those of a transaction, or savepoint, that was rolled back.
    """

    def __init__(
        self, *, send: Callable[[list[Message[Any]]], Any], forget: Callable[[list[Message[Any]]], Any]
    ) -> None:
        self._send = send
        self._forget = forget
        self._waiting: WeakKeyDictionary[Connection, list[Message[Any]]] = WeakKeyDictionary()
        self._savepoints: WeakKeyDictionary[Connection, list[int]] = WeakKeyDictionary()

    def keep(self, connection: Connection, messages: Sequence[Message[Any]]) -> None:
        """Let them wait for the end of the connection's transaction."""
        if not connection.in_transaction():
            connection.begin()  # as any statement would: what comes next is a commit or a rollback
        if connection not in self._waiting:
            self._waiting[connection], self._savepoints[connection] = [], []
            event.listen(connection, "commit", self._commit)
            event.listen(connection, "rollback", self._rollback)
            event.listen(connection, "savepoint", self._savepoint)
            event.listen(connection, "release_savepoint", self._release_savepoint)
            event.listen(connection, "rollback_savepoint", self._rollback_savepoint)
        self._waiting[connection].extend(messages)

    def _take(self, connection: Connection, first: int = 0) -> list[Message[Any]]:
        waiting = self._waiting[connection]
        taken, waiting[first:] = waiting[first:], []
        return taken

    def _commit(self, connection: Connection) -> None:
        self._savepoints[connection].clear()
        self._send(self._take(connection))

    def _rollback(self, connection: Connection) -> None:
        self._savepoints[connection].clear()
        self._forget(self._take(connection))

    def _savepoint(self, connection: Connection, _name: None) -> None:  # SQLAlchemy names it after this
        self._savepoints[connection].append(len(self._waiting[connection]))

    def _release_savepoint(self, connection: Connection, _name: str, _context: None) -> None:
        self._leave(connection)

    def _rollback_savepoint(self, connection: Connection, _name: str, _context: None) -> None:
        self._forget(self._take(connection, self._leave(connection)))

    def _leave(self, connection: Connection) -> int:
        """How many messages there were when the innermost savepoint was set."""
        savepoints = self._savepoints[connection]
        return savepoints.pop() if savepoints else 0  # set before the first message came: all came after it
