"""Which messages still need vectors: `messages.vector_indexed` is 0 pending, 1 done, -1 failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, func, or_, select, update

from actors.sessions.tables import messages
from callboard import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

PENDING, DONE, FAILED = 0, 1, -1
_IS_PENDING = and_(messages.c.vector_indexed == PENDING, messages.c.type == "assistant")


class PendingMessage(NamedTuple):
    """A message without vectors."""

    id: int
    text: str


def count_pending() -> int:
    """How many messages wait for the index."""
    with transaction() as connection:
        return connection.execute(select(func.count()).where(_IS_PENDING)).scalar_one()


def next_pending(after: int, most: int, most_bytes: int) -> list[PendingMessage]:
    """The next messages by id, at most `most` of them and `most_bytes` of text; a longer one comes alone.

    Args:
        after: Only ids above this one: a run looks at each message once, even if it has to leave it pending.
        most: Messages.
        most_bytes: Bytes of their text in UTF-8.
    """
    candidates = select(messages.c.id, messages.c.content_text).where(_IS_PENDING, messages.c.id > after)
    first = candidates.order_by(messages.c.id).limit(most).subquery()
    so_far = func.sum(func.octet_length(first.c.content_text)).over(order_by=first.c.id)
    number = func.row_number().over(order_by=first.c.id)
    sized = select(first, so_far.label("so_far"), number.label("number")).subquery()
    fitting = or_(sized.c.so_far <= most_bytes, sized.c.number == 1)
    query = select(sized.c.id, sized.c.content_text).where(fitting).order_by(sized.c.id)
    with transaction() as connection:
        return [PendingMessage(*row) for row in connection.execute(query)]


def mark(ids: Sequence[int], state: int) -> None:
    """Set the state of messages that are pending; others are left as they are."""
    with transaction() as connection:
        chosen = and_(messages.c.id == func.any(list(ids)), messages.c.vector_indexed == PENDING)
        connection.execute(update(messages).where(chosen).values(vector_indexed=state))


def reset_index(*, everything: bool = False) -> int:
    """Make failed messages pending again, and return how many.

    Args:
        everything: Those that are done too: after the folder of vectors was lost, or with a new model.
    """
    states = [FAILED, DONE] if everything else [FAILED]
    statement = update(messages).where(messages.c.vector_indexed.in_(states)).values(vector_indexed=PENDING)
    with transaction() as connection:
        return connection.execute(statement).rowcount
