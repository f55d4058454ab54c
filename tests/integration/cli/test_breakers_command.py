"""`callboard breakers`."""

from __future__ import annotations

import json
from contextlib import suppress

from sqlalchemy import text

from callboard import TransientError, breaker
from callboard.exits import Exit
from callboard.ledger.database import transaction
from tests.integration.cli.conftest import Board


def fail(key: str, times: int) -> None:
    for _ in range(times):
        with suppress(TransientError), breaker(key, failures=3):
            raise TransientError("answered 503")


def test_the_list_names_what_is_left_alone_and_a_reset_ends_it(board: Board) -> None:
    assert "Every breaker is closed" in board("breakers").out
    fail("siem:one", 3)
    fail("webhook:two", 1)
    said = board("breakers").out
    for word in ("siem:one", "open", "3 of 3", "answered 503", "webhook:two", "1 of 3"):
        assert word in said
    rows = json.loads(board("breakers", "list", "--json").out)
    assert [(row["key"], row["state"], row["failures"]) for row in rows] == [
        ("siem:one", "open", 3),
        ("webhook:two", "closed", 1),
    ]
    answer = board("breakers", "reset", "siem:one", "--why", "mended")
    assert (answer.code, answer.out) == (0, "Breaker siem:one is closed; workers know within a second.\n")
    with transaction() as connection:
        acts = connection.execute(text("select action, resource_id, why from board.audit")).all()
    assert acts == [("breaker.reset", "siem:one", "mended")]
    assert "siem:one" not in board("breakers").out
    assert "siem:one" in board("breakers", "list", "--all").out


def test_check_warns_of_what_is_left_alone(board: Board) -> None:
    fail("siem:one", 3)
    told = [each for each in json.loads(board("check", "--json").out) if each["subject"] == "breakers"]
    assert [(each["level"], "siem:one is left alone since" in each["what"]) for each in told] == [("warning", True)]
    assert "callboard breakers reset siem:one" in told[0]["mend"]
    board("breakers", "reset", "siem:one")
    told = [each for each in json.loads(board("check", "--json").out) if each["subject"] == "breakers"]
    assert [each["level"] for each in told] == ["ok"]


def test_one_that_is_not_there_is_told_of(board: Board) -> None:
    answer = board("breakers", "reset", "siem:none")
    assert answer.code == Exit.NOT_FOUND
    assert "no breaker has the key 'siem:none'" in answer.err
