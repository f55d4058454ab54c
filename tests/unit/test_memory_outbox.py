"""The outbox in tests without servers: a message leaves with the commit of the tester's own database, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from callboard import ArgumentsError, DuplicateRun, Job, job, outbox
from callboard.testing import MemoryBroker


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield engine
    engine.dispose()


@pytest.fixture
def confirm(callboard_broker: MemoryBroker) -> Job[[int], None]:
    assert callboard_broker

    @job("confirm")
    def confirm(order: int) -> None:
        assert order

    return confirm


def _orders(broker: MemoryBroker) -> list[object]:
    return [(run.state, run.facts.args["order"]) for run in broker.drain()]


def test_it_leaves_with_the_commit(callboard_broker: MemoryBroker, confirm: Job[[int], None], engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.execute(text("select 1"))
        outbox.send(session, confirm, 1)
        outbox.send_many(session, confirm, [{"order": 2}, (3,)])
        assert callboard_broker.sent == []
    assert _orders(callboard_broker) == [("completed", 1), ("completed", 2), ("completed", 3)]


def test_it_does_not_leave_with_a_rollback(
    callboard_broker: MemoryBroker, confirm: Job[[int], None], engine: Engine
) -> None:
    with Session(engine) as session:
        outbox.send(session, confirm, 1)
        session.rollback()
        outbox.send(session, confirm, 2)
        session.commit()
    assert _orders(callboard_broker) == [("completed", 2)]


def test_a_savepoint_takes_back_what_came_after_it(
    callboard_broker: MemoryBroker, confirm: Job[[int], None], engine: Engine
) -> None:
    with engine.begin() as connection:
        early = connection.begin_nested()
        outbox.send(connection, confirm, 1)
        early.rollback()
        outbox.send(connection, confirm, 2)
        late = connection.begin_nested()
        outbox.send(connection, confirm, 3)
        late.rollback()
        with connection.begin_nested():
            outbox.send(connection, confirm, 4)
    assert _orders(callboard_broker) == [("completed", 2), ("completed", 4)]


@pytest.mark.usefixtures("callboard_broker")
def test_it_refuses_what_the_ledger_would(confirm: Job[[int], None], engine: Engine) -> None:
    @job("alone", single=True)
    def alone() -> None: ...

    with engine.connect() as connection:
        with pytest.raises(ArgumentsError, match="too many positional"):
            outbox.send(connection, confirm, 1, 2)  # type: ignore[call-arg]  # on purpose
        outbox.send(connection, alone)
        with pytest.raises(DuplicateRun):
            outbox.send(connection, alone)
        connection.rollback()
        outbox.send(connection, alone)
