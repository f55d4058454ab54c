"""A text that was proposed before: news again once its key says something else, and else never."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text

from actors.memory.texts import Keyring
from callboard import transaction
from tests.integration.memory.kit import NOW, add_tenant, add_user, rows_of
from tests.integration.memory.queueing import NOTHING, TEA, decisions, drain, queue
from tests.integration.memory.syncing import add_connection, connection_row, synced

if TYPE_CHECKING:
    from sandbox.onedrive import OneDriveStandIn
    from sandbox.openai import OpenAIStandIn

pytestmark = pytest.mark.usefixtures("memory_database")

COFFEE = "Anna drinks coffee now and then."
WINE = "Anna drinks red wine with her sister."
GYM = "Anna drinks water at the gym."
_CURRENT = """
select user_id, extracted_key, text_ciphertext from memory.memories
where user_id = :user and superseded_by is null and retention_status = 'active'
  and (expires_at is null or expires_at > :now)
order by id
"""


@pytest.fixture
def user() -> UUID:
    return add_user(add_tenant())


def say(user: UUID, *texts: str, key: str = "drink") -> int:
    """Propose texts of one key by one call; how many were new."""
    (row,) = rows_of("select tenant_id from memory.users where id = :id", id=user)
    return queue(row["tenant_id"], user, *texts, extracted_key=key)


def current(user: UUID) -> dict[str, str]:
    """What each key of the user says, at the end of the tests' day."""
    rows = rows_of(_CURRENT, user=user, now=NOW + timedelta(days=1))
    with transaction() as connection:
        keyring = Keyring.of(connection, [user])
    assert len({row["extracted_key"] for row in rows}) == len(rows)
    return {row["extracted_key"]: keyring.decrypt(user, bytes(row["text_ciphertext"])) for row in rows}


def test_what_came_true_again_is_current_and_repeats_are_free(user: UUID) -> None:
    for words in (TEA, COFFEE, TEA, COFFEE, TEA):
        assert say(user, words) == 1
        assert drain()["created"] == 1
        assert current(user) == {"drink": words}
    before = rows_of("select * from memory.memory_candidates order by id")
    assert [say(user, TEA) for _ in range(3)] == [0, 0, 0]
    assert drain() == NOTHING
    assert rows_of("select * from memory.memory_candidates order by id") == before


@pytest.mark.parametrize("decided", [0, 1, 2])
def test_it_is_news_also_while_the_queue_has_not_decided(user: UUID, decided: int) -> None:
    for number, words in enumerate((TEA, COFFEE, TEA)):
        assert say(user, words) == 1
        assert say(user, words) == 0
        if number < decided:
            drain()
    drain()
    assert (current(user), decisions()) == ({"drink": TEA}, ["created"] * 3)


def test_one_call_with_all_of_it_is_the_same(user: UUID) -> None:
    assert say(user, TEA, TEA, COFFEE, TEA, TEA) == 3
    drain()
    assert current(user) == {"drink": TEA}


def test_what_another_key_says_too_takes_the_place_of_what_this_key_said(user: UUID) -> None:
    assert say(user, TEA, key="breakfast") == 1
    assert say(user, TEA) == 0, "once in its user, project and environment is enough"
    for words in (COFFEE, TEA):
        assert say(user, words) == 1
        drain()
    assert current(user) == {"breakfast": TEA, "drink": TEA}
    assert [say(user, TEA, key=key) for key in ("breakfast", "drink", "third")] == [0, 0, 0]


def test_what_is_not_worth_a_memory_does_not_come_again(user: UUID) -> None:
    for words in (GYM, TEA):
        assert say(user, words) == 1
        drain()
    assert [say(user, words) for words in (GYM, GYM)] == [0, 0]
    assert current(user) == {"drink": TEA}


def test_a_candidate_that_is_stuck_lets_the_text_before_it_in_once(user: UUID) -> None:
    say(user, TEA)
    drain()
    say(user, COFFEE)
    with transaction() as connection:
        connection.execute(text("update memory.memory_candidates set attempts = 9 where decision = 'pending'"))
    assert say(user, TEA) == 1
    assert drain()["discarded_redundant"] == 1
    assert [say(user, TEA) for _ in range(3)] == [0, 0, 0]


def test_what_was_forgotten_is_not_brought_back_by_a_repeat(user: UUID) -> None:
    say(user, TEA)
    drain()
    with transaction() as connection:
        connection.execute(text("update memory.memories set retention_status = 'soft_deleted', deleted_at = now()"))
    assert say(user, TEA) == 0


def test_whatever_is_said_and_decided_in_which_order_the_last_word_is_current() -> None:
    """Against a dictionary; drains come at random, and end the story."""
    tenant = add_tenant()
    for seed in range(8):
        user, dice, said, known = add_user(tenant), random.Random(seed), dict[str, str](), set[str]()
        for _ in range(20):
            key, words = dice.choice(["breakfast", "drink"]), dice.choice([TEA, COFFEE, WINE])
            is_news = said.get(key) != words and (key in said or words not in known)
            assert say(user, words, key=key) == is_news, seed
            if is_news:
                said[key] = words
                known.add(words)
            if dice.random() < 0.25:
                drain()
        drain()
        assert current(user) == said, seed


def test_others_have_their_own_turns(user: UUID) -> None:
    other = add_user(add_tenant())
    for words in (TEA, COFFEE):
        say(user, words)
        drain()
    assert [say(other, TEA), say(other, TEA)] == [1, 0]


def test_with_a_model_a_key_that_says_something_else_takes_up_what_another_key_says(
    user: UUID, openai: OpenAIStandIn
) -> None:
    say(user, TEA, key="breakfast")
    say(user, COFFEE)
    drain()
    say(user, "In the morning green tea drinks Anna!")
    say(user, "Green tea in the morning drinks Anna!", key="third")
    assert drain() == NOTHING | {"scanned": 2, "created": 1, "discarded_redundant": 1}
    assert current(user) == {"breakfast": TEA, "drink": "In the morning green tea drinks Anna!"}
    assert openai.requests


class TestSyncs:
    def test_a_document_that_is_put_back_as_it_was_is_current_again(self, onedrive: OneDriveStandIn) -> None:
        made = add_connection("onedrive")
        user = connection_row(made)["user_id"]
        for hour, words in enumerate(("The launch is in May.", "The launch is in June.", "The launch is in May.")):
            onedrive.put("1", "Plan", words, edited=NOW + timedelta(hours=hour))
            assert synced(made, now=NOW + timedelta(hours=hour))["candidates"] == 1
            drain()
            assert list(current(user).values()) == [f"Plan {words}"]
        results = rows_of(
            "select memories_created, memories_updated, undecided from memory.sync_results order by created_at"
        )
        assert [tuple(row.values()) for row in results] == [(1, 0, 0), (0, 1, 0), (0, 1, 0)]

    def test_a_sync_created_what_the_queue_made_of_it_and_no_more(self, onedrive: OneDriveStandIn) -> None:
        onedrive.put("1", "Plan", "The launch is in May.")
        onedrive.put("2", "Note", "Anna is at the airport.")
        made = add_connection("onedrive")
        assert synced(made)["candidates"] == 2
        told = "select candidates, memories_created, memories_updated, undecided from memory.sync_results"
        assert [tuple(row.values()) for row in rows_of(told)] == [(2, 0, 0, 2)]
        drain()
        assert [tuple(row.values()) for row in rows_of(told)] == [(2, 1, 0, 0)]

    def test_a_document_that_comes_back_is_remembered_again(self, onedrive: OneDriveStandIn) -> None:
        made = add_connection("onedrive")
        user = connection_row(made)["user_id"]
        onedrive.put("1", "Plan", "The launch is in May.")
        synced(made)
        drain()
        onedrive.delete("1")
        assert synced(made, now=NOW + timedelta(hours=1))["memories_deleted"] == 1
        assert current(user) == {}
        onedrive.put("1", "Plan", "The launch is in May.")
        assert synced(made, now=NOW + timedelta(hours=2))["candidates"] == 1
        drain()
        assert list(current(user).values()) == ["Plan The launch is in May."]

    def test_what_a_deleted_document_merely_repeated_stays(
        self, onedrive: OneDriveStandIn, openai: OpenAIStandIn
    ) -> None:
        made = add_connection("onedrive")
        user = connection_row(made)["user_id"]
        say(user, "Plan The launch is in May.", key="launch")
        drain()
        onedrive.put("1", "Plan", "In May is the launch!")
        synced(made)
        assert drain()["discarded_redundant"] == 1
        onedrive.delete("1")
        assert synced(made, now=NOW + timedelta(hours=1))["memories_deleted"] == 0
        assert current(user) == {"launch": "Plan The launch is in May."}
        assert openai.requests
