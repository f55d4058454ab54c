"""Writing and recalling memories: rows, what they supersede, events and webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from actors.memory.texts import Keyring, Unreadable
from actors.memory.writing import NewMemory, Written, recall, remember, write
from callboard import transaction
from callboard.ledger import database
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, value_of

if TYPE_CHECKING:
    from tests.integration.memory.hooks import Hooks

pytestmark = pytest.mark.usefixtures("memory_database")

TEA, COFFEE = "Anna drinks tea.", "Anna drinks coffee."


class Person:
    """A user, and what is remembered of her."""

    def __init__(self, tenant: UUID | None = None, **settings: object) -> None:
        self.tenant = tenant or add_tenant(**settings)
        self.id = add_user(self.tenant)

    def new(self, text: str, **fields: Any) -> NewMemory:  # noqa: ANN401 - of NewMemory
        given = {"extracted_type": "FACT", "extracted_key": "drink", **fields}
        return NewMemory(tenant_id=self.tenant, user_id=self.id, text=text, **given)

    def write(self, *memories: NewMemory, now: datetime = NOW) -> list[Written]:
        with transaction() as connection:
            return write(connection, memories, now=now, keyring=Keyring.of(connection, [self.id]))


def memory(number: int) -> dict[str, Any]:
    (row,) = rows_of("select * from memory.memories where id = :id", id=number)
    return row


def events() -> list[tuple[int, str, dict[str, Any], str]]:
    rows = rows_of("select memory_id, event_type, payload, source from memory.memory_events order by id")
    return [tuple(row.values()) for row in rows]  # type: ignore[misc] # four columns


def superseded() -> list[int | None]:
    return [row["superseded_by"] for row in rows_of("select superseded_by from memory.memories order by id")]


def test_a_memory_is_kept_as_its_tenant_has_it() -> None:
    anna = Person(archive_after_days=10, archive_window_days=5, gating_threshold=0.8)
    ((number, created, _),) = anna.write(anna.new(TEA, importance=0.7, tags=("taste", 'a "b"'), end_user_id="u-7"))
    row = memory(number)
    with transaction() as connection:
        ring = Keyring.of(connection, [anna.id])
    assert created
    assert ring.decrypt(anna.id, bytes(row["text_ciphertext"])) == TEA
    assert row["content_hash"] == ring.hash(anna.id, TEA)
    assert (row["archive_at"], row["retention_expires_at"]) == (NOW + timedelta(days=10), NOW + timedelta(days=15))
    assert (row["hard_delete_at"], row["expires_at"]) == (None, None)
    assert (row["gated"], row["importance_score"], row["source"]) == (True, 70, "api")
    assert (row["tags"], row["end_user_id"]) == (["taste", 'a "b"'], "u-7")
    assert {row[name] for name in ("created_at", "updated_at", "tier_changed_at")} == {NOW}
    assert value_of("select insights_dirty from memory.users where id = :id", id=anna.id) is True
    assert events() == [(number, "memory.created", {}, "api")]


def test_without_a_window_there_is_no_archive() -> None:
    anna = Person(archive_after_days=10, archive_window_days=0)
    ((number, *_),) = anna.write(anna.new(TEA))
    row = memory(number)
    assert (row["archive_at"], row["retention_expires_at"]) == (None, NOW + timedelta(days=10))


@pytest.mark.parametrize(
    ("days", "tier"), [(None, "hot"), (7.01, "hot"), (7, "warm"), (1.01, "warm"), (1, "cold"), (0.01, "cold")]
)
def test_what_lives_for_a_short_time_starts_lower(days: float | None, tier: str) -> None:
    anna = Person()
    ttl = None if days is None else days * 86_400
    ((number, *_),) = anna.write(anna.new(TEA, ttl_seconds=ttl))
    row = memory(number)
    assert row["tier"] == tier
    assert row["expires_at"] == (None if days is None else NOW + timedelta(days=days))


def test_a_day_that_is_29_february_next_year_has_none() -> None:
    """Terms are days, not dates: nothing is lost or gained in a leap year."""
    anna, born = Person(archive_after_days=366, archive_window_days=1), datetime(2028, 2, 29, 12, tzinfo=UTC)
    ((number, *_),) = anna.write(anna.new(TEA), now=born)
    assert memory(number)["archive_at"] == datetime(2029, 3, 1, 12, tzinfo=UTC)


def test_each_of_one_key_supersedes_the_one_before_it() -> None:
    anna = Person()
    first, again, second, third = anna.write(*(anna.new(words) for words in (TEA, TEA, COFFEE, TEA)))
    assert [first.created, again.created, second.created, third.created] == [True, False, True, True]
    assert again.id == first.id
    later = NOW + timedelta(days=1)
    ((fourth, *_),) = anna.write(anna.new(COFFEE), now=later)
    assert superseded() == [second.id, third.id, fourth, None]
    assert memory(third.id)["updated_at"] == later
    assert events() == [
        (first.id, "memory.created", {}, "api"),
        (second.id, "memory.created", {}, "api"),
        (first.id, "memory.superseded", {"superseded_by": second.id}, "api"),
        (third.id, "memory.created", {}, "api"),
        (second.id, "memory.superseded", {"superseded_by": third.id}, "api"),
        (fourth, "memory.created", {}, "api"),
        (third.id, "memory.superseded", {"superseded_by": fourth}, "api"),
    ]


@pytest.mark.parametrize(
    "field",
    [
        {"project_id": uuid4()},
        {"environment": "staging"},
        {"end_user_id": "u-7"},
        {"extracted_type": "EVENT"},
        {"extracted_key": "food"},
    ],
)
def test_what_stands_elsewhere_is_neither_superseded_nor_repeated(field: dict[str, Any]) -> None:
    anna = Person()
    here, elsewhere = anna.write(anna.new(TEA), anna.new(COFFEE, **field))
    ((new, created, _),) = anna.write(anna.new(COFFEE))
    assert (here.created, elsewhere.created, created) == (True, True, True)
    assert superseded() == [new, None, None]


@pytest.mark.parametrize(
    "columns",
    [{"retention_status": "soft_deleted"}, {"is_summary": True}, {"expires_at": NOW}, {"superseded_by": 777_777}],
    ids=["deleted", "summary", "expired", "superseded"],
)
def test_what_is_not_current_is_neither_superseded_nor_repeated(columns: dict[str, Any]) -> None:
    anna = Person()
    add_memories(anna.tenant, anna.id, [TEA], **columns)
    assert anna.write(anna.new(TEA))[0].created
    assert superseded() == [columns.get("superseded_by"), None]


def test_writing_again_changes_nothing() -> None:
    anna = Person()
    with transaction() as connection:
        given = {"now": NOW, "keyring": Keyring.of(connection, [anna.id])}
        ids = remember(connection, [anna.new(TEA), anna.new(COFFEE, extracted_key="b")], **given)
    before = rows_of("select * from memory.memories order by id")
    with transaction() as connection:
        given["now"] = NOW + timedelta(days=1)
        assert remember(connection, [anna.new(TEA), anna.new(COFFEE, extracted_key="b")], **given) == ids
        assert remember(connection, [], **given) == []
    assert rows_of("select * from memory.memories order by id") == before
    assert len(events()) == 2


def test_of_a_user_without_a_key_nothing_is_written() -> None:
    anna, ben = Person(), Person()
    with transaction() as connection:
        ring = Keyring.of(connection, [anna.id])
    with transaction() as connection, pytest.raises(Unreadable):
        write(connection, [anna.new(TEA), ben.new(TEA)], now=NOW, keyring=ring)
    assert rows_of("select * from memory.memories") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "prod"),
        ("importance", 1.1),
        ("importance", float("nan")),
        ("ttl_seconds", 0),
        ("ttl_seconds", float("inf")),
    ],
)
def test_what_the_table_would_refuse_is_refused_before(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} {value!r} must be"):
        NewMemory(
            tenant_id=uuid4(), user_id=uuid4(), text=TEA, extracted_type="FACT", extracted_key="a", **{field: value}
        )


def test_webhooks_hear_of_it_without_a_word_of_the_text(hooks: Hooks) -> None:
    hooks.add(events=["memory.created", "memory.superseded", "memory.recalled"])
    anna = Person(hooks.tenant)
    ((first, *_),) = anna.write(anna.new(TEA))
    ((second, *_),) = anna.write(anna.new(COFFEE))
    with transaction() as connection:
        assert recall(connection, [second, second], now=NOW) == 1
    rows = rows_of("select payload_json from memory.webhook_deliveries order by id")
    told = [json.loads(row["payload_json"]) for row in rows]
    assert sorted((each["type"], each["data"]["memory_id"]) for each in told) == [
        ("memory.created", first),
        ("memory.created", second),
        ("memory.recalled", second),
        ("memory.recalled", second),
        ("memory.superseded", first),
    ]
    (superseding,) = [each["data"] for each in told if each["type"] == "memory.superseded"]
    assert (superseding["superseded_by"], superseding["key"]) == (second, "drink")
    assert not any("Anna" in row["payload_json"] for row in rows)


def test_a_recall_makes_fresh_and_promotes_by_one_tier() -> None:
    anna = Person()
    cold, warm, hot = (
        add_memories(anna.tenant, anna.id, [tier], tier=tier, decay_score=0.2, usage_count=3)[0]
        for tier in ("cold", "warm", "hot")
    )
    later = NOW + timedelta(days=40)
    with transaction() as connection:
        assert recall(connection, [hot, cold, warm, cold], now=later) == 3
    rows = rows_of("select tier, usage_count, decay_score, last_accessed_at, tier_changed_at from memory.memories")
    assert {row["last_accessed_at"] for row in rows} == {later}
    assert {row["decay_score"] for row in rows} == {1.0}
    assert [(memory(each)["tier"], memory(each)["usage_count"]) for each in (cold, warm, hot)] == [
        ("warm", 5),
        ("hot", 4),
        ("hot", 4),
    ]
    assert [memory(each)["tier_changed_at"] for each in (cold, warm, hot)] == [later, later, NOW]
    assert value_of("select count(*) from memory.recalls where recalled_at = :at", at=later) == 4
    assert [(number, kind, change) for number, kind, change, _ in events()] == [
        (cold, "memory.tier_changed", {"from": "cold", "to": "warm"}),
        (warm, "memory.tier_changed", {"from": "warm", "to": "hot"}),
    ]


def test_what_is_gone_is_not_recalled() -> None:
    anna = Person()
    (deleted,) = add_memories(anna.tenant, anna.id, [TEA], retention_status="soft_deleted")
    (expired,) = add_memories(anna.tenant, anna.id, [TEA], expires_at=NOW)
    (archived,) = add_memories(anna.tenant, anna.id, [TEA], retention_status="archived")
    with transaction() as connection:
        assert recall(connection, [deleted, expired, archived, 777_777], now=NOW) == 1
        assert recall(connection, [], now=NOW) == 0
    assert value_of("select memory_id from memory.recalls") == archived


def test_a_clock_set_back_an_hour_makes_no_recall_older() -> None:
    anna = Person()
    (number,) = add_memories(anna.tenant, anna.id, [TEA], tier="cold")
    with transaction() as connection:
        recall(connection, [number], now=NOW)
        recall(connection, [number], now=NOW - timedelta(hours=1))
    row = memory(number)
    assert (row["last_accessed_at"], row["tier_changed_at"], row["usage_count"], row["tier"]) == (NOW, NOW, 2, "hot")


def test_two_writers_of_one_key_wait_for_each_other() -> None:
    """The second is told of the first one's memory as soon as that is committed, and supersedes it."""
    anna = Person()
    with database.get_engine().connect() as first:
        write(first, [anna.new(TEA)], now=NOW, keyring=Keyring.of(first, [anna.id]))
        with transaction() as second:
            second.execute(text("set lock_timeout = 100"))
            ring = Keyring.of(second, [])
            with pytest.raises(Exception, match="lock timeout"):
                write(second, [anna.new(COFFEE)], now=NOW, keyring=ring)
            second.rollback()
        first.commit()
    anna.write(anna.new(COFFEE))
    assert [one is None for one in superseded()] == [False, True]
