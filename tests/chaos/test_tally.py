"""The checker fails when one row, one effect or one letter is taken away or added by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.tally import Effect, Row, Tally, judge, overlaps, percentiles

IDS = [f"run-{number}" for number in range(6)]


def rows() -> list[Row]:
    """Four completed, one after a retry, one after an interruption; one dead; one cancelled before it started."""
    return [
        Row(IDS[0], "work", "completed", 1, 0, 0, 0),
        Row(IDS[1], "work", "completed", 1, 0, 0, 0),
        Row(IDS[2], "work", "completed", 2, 0, 0, 0),
        Row(IDS[3], "work", "completed", 1, 0, 1, 0),
        Row(IDS[4], "work", "failed", 1, 0, 0, 1),
        Row(IDS[5], "work", "cancelled", 0, 0, 0, 0),
    ]


def effects() -> list[Effect]:
    once = [Effect(1 + number, "S", "work", IDS[number], 1, 7) for number in range(5)]
    ends = [Effect(1.5 + number, "E", "work", IDS[number], 1, 7) for number in range(2)]
    failed = [Effect(3.5, "X", "work", IDS[2], 1, 7), Effect(5.5, "X", "work", IDS[4], 1, 7)]
    again = [Effect(6, "S", "work", IDS[2], 2, 8), Effect(6, "S", "work", IDS[3], 2, 8)]
    return once + ends + failed + again + [e._replace(what="E", seconds=7) for e in again]


def verdict(ledger: list[Row], log: list[Effect], left: int = 0) -> Tally:
    return judge(IDS, ["unsure"], ledger, log, left)


def test_an_orderly_account_is_clean() -> None:
    tally = verdict(rows(), effects())
    assert tally.clean, tally
    assert (tally.acked, tally.completed, tally.dead, tally.cancelled, tally.restarted) == (6, 4, 1, 1, 2)


@pytest.mark.parametrize("place", range(6))
def test_a_missing_row_is_a_lost_message(place: int) -> None:
    ledger = rows()
    del ledger[place]
    assert verdict(ledger, effects()).lost == 1


@pytest.mark.parametrize("state", ["pending", "running"])
def test_an_open_run_is_stranded_and_lost(state: str) -> None:
    ledger = rows()
    ledger[0] = ledger[0]._replace(state=state)
    tally = verdict(ledger, effects())
    assert (tally.stranded, tally.lost, tally.clean) == (1, 1, False)


def test_a_message_left_in_the_broker_is_stranded() -> None:
    assert verdict(rows(), effects(), left=1).stranded == 1


@pytest.mark.parametrize("run", IDS[:4])
def test_one_start_too_many_is_undeclared(run: str) -> None:
    assert verdict(rows(), [*effects(), Effect(9, "S", "work", run, 1, 9)]).undeclared == 1


def test_a_start_of_an_unknown_run_is_undeclared() -> None:
    assert verdict(rows(), [*effects(), Effect(9, "S", "work", "stranger", 1, 9)]).undeclared == 1


@pytest.mark.parametrize("place", [5, 6, 11, 12])
def test_a_completed_run_whose_end_nobody_wrote_is_unfounded(place: int) -> None:
    log = effects()
    assert log[place].what == "E"
    del log[place]
    assert verdict(rows(), log).unfounded == 1


def test_a_completed_run_that_ended_twice_is_unfounded() -> None:
    assert verdict(rows(), [*effects(), Effect(9, "E", "work", IDS[0], 1, 9)]).unfounded == 1


@pytest.mark.parametrize("change", [{"letters": 0}, {"letters": 2}, {"state": "completed"}])
def test_failed_runs_and_dead_letters_belong_together(change: dict[str, Any]) -> None:
    ledger = rows()
    ledger[4] = ledger[4]._replace(**change)
    assert verdict(ledger, effects()).misburied == 1


def test_an_attempt_within_another_overlaps_and_one_after_a_death_does_not() -> None:
    first = [Effect(1, "S", "work", IDS[0], 1, 7), Effect(5, "E", "work", IDS[0], 1, 7)]
    assert overlaps([*first, Effect(4, "S", "work", IDS[0], 2, 8)]) == 1
    assert overlaps([*first, Effect(6, "S", "work", IDS[0], 2, 8)]) == 0
    assert overlaps([first[0], Effect(6, "S", "work", IDS[0], 2, 8)]) == 0


@pytest.mark.parametrize(("values", "answer"), [([], None), ([2.0], (2.0, 2.0, 2.0)), (list(range(100)), (50, 95, 99))])
def test_percentiles(values: list[float], answer: object) -> None:
    assert percentiles(values) == answer


def test_what_a_case_expects_in_vain_is_not_clean() -> None:
    tally = verdict(rows(), effects())
    tally.expect(fact=True, words="fine")
    assert tally.clean
    tally.expect(fact=False, words="not fine")
    assert not tally.clean
    assert tally.broken == ["not fine"]
