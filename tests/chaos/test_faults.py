"""A small round of each quick case; the full sizes are `python -m tests.chaos.faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.case import QUICK, run
from tests.chaos.faults import CASES
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

SEED = 4711


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.quick is not None])
def test_a_fault_loses_strands_and_doubles_nothing(name: str, tmp_path: Path) -> None:
    tally = run(CASES[name], tmp_path, seed=SEED, quick=True)
    assert tally.clean, tally


def test_the_accounts_disagree_when_a_row_or_a_line_is_taken_away_by_hand(tmp_path: Path) -> None:
    with Stage(tmp_path, QUICK) as stage:
        stage.workers(1)
        stage.send("work", 20)
        stage.settle()
        assert stage.tally().clean, stage.tally()
        lines = stage.fleet.log.read_text().splitlines(keepends=True)
        stage.fleet.log.write_text("".join(line for line in lines if line != lines[-1]))
        assert stage.tally().unfounded == 1
        stage.fleet.log.write_text("".join([*lines, lines[0]]))
        assert stage.tally().undeclared == 1
        stage.fleet.log.write_text("".join(lines))
        stage.fleet_query("delete from board.runs where ctid in (select ctid from board.runs limit 1) returning 1")
        tally = stage.tally()
        assert (tally.lost, tally.undeclared, tally.clean) == (1, 1, False)
