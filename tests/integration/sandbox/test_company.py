"""The made-up company: it is what the catalogues expect, and its jobs have a day's work with it."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from actors.memory.forgetting import forget
from actors.memory.retention import enforce
from actors.memory.sessions import delete_expired
from actors.memory.settings import get_memory_settings
from actors.memory.texts import Keyring
from actors.memory.tiers import move
from callboard import Run, get_settings, transaction, unseal
from callboard.ledger import database
from sandbox.company import Plan, fill
from tests.integration.memory.kit import rows_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = bytes(range(32))
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", postgres_url)
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", b64encode(KEY).decode())
    _forget_settings()
    yield postgres_url
    _forget_settings()


def _forget_settings() -> None:
    database.dispose()
    get_settings.cache_clear()
    get_memory_settings.cache_clear()


def test_the_catalogue_reads_what_was_made_up(url: str) -> None:
    hook, siem = "https://example.com/hook", "https://example.com/siem"
    plan = Plan(
        memories=200,
        tenants=2,
        events=300,
        now=NOW,
        secret_key=KEY,
        webhooks=(hook,),
        siem=(("custom", siem),),
        outside=True,
    )
    assert fill(url, plan)._asdict() == {"tenants": 3, "users": 6, "memories": 200, "events": 300}
    memories = rows_of("select user_id, text_ciphertext, content_hash from memory.memories")
    with transaction() as connection:
        keyring = Keyring.of(connection, {row["user_id"] for row in memories})
    texts = [keyring.decrypt(row["user_id"], row["text_ciphertext"]) for row in memories]
    assert all(text.endswith(".") and "{" not in text for text in texts)
    assert [keyring.hash(row["user_id"], text) for row, text in zip(memories, texts, strict=True)] == [
        row["content_hash"] for row in memories
    ]
    secrets = rows_of("select secret from memory.webhooks")
    assert len(secrets) == 3
    assert all(unseal(row["secret"]).startswith(b"whsec_") for row in secrets)
    assert {unseal(row["api_key"]) for row in rows_of("select api_key from revenue.integrations")} == {b"sk_sandbox"}
    assert value_of("select count(*) from memory.connections") == 8
    assert value_of("select count(*) from revenue.events_2026_02") > 0
    with pytest.raises(psycopg.errors.UniqueViolation):
        fill(url, plan)
    assert value_of("select count(*) from memory.memories") == 200


def test_each_job_has_a_days_work_and_then_none(url: str) -> None:
    fill(url, Plan(memories=3_000, tenants=4, largest=0.9, now=NOW, events=0))
    shares = rows_of("select count(*) from memory.memories group by tenant_id order by 1 desc")
    assert [row["count"] for row in shares] == [2700, 100, 100, 100]
    settings = get_memory_settings()
    counts: dict[str, int] = {}
    for work in (forget, move, enforce, delete_expired):
        first, second = Run(job="first"), Run(job="second")
        work(first, settings, NOW)
        work(second, settings, NOW)
        counts |= first.counts
        assert second.is_quiet
    names = ("decayed", "to_warm", "archived", "soft_deleted", "hard_delete_pending", "purged", "deleted")
    assert all(0 < counts[name] < 1500 for name in names), counts


def test_another_seed_is_another_company_in_the_same_database(url: str) -> None:
    plans = [Plan(memories=20, tenants=1, seed=seed, now=NOW, events=10) for seed in (1, 2)]
    assert [fill(url, plan).memories for plan in plans] == [20, 20]
    assert value_of("select count(distinct id) from memory.memories") == 40
    assert value_of("select nextval(pg_get_serial_sequence('memory.memories', 'id'))") == 41


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ("tenants=0", {"tenants": 0}),
        ("youngest_days=9", {"youngest_days": 9, "oldest_days": 9}),
        ("largest=1.5", {"largest": 1.5}),
        ("3 bytes", {"secret_key": b"key"}),
    ],
)
def test_a_company_that_cannot_be_is_refused(words: str, plan: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(**plan)  # type: ignore[arg-type]  # what is wrong is the value
