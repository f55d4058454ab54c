"""Jobs of the catalogues memory and revenue end the same, run once, run twice, or killed in between.

One random point a job here; `python -m tests.chaos.points --points 20` takes its time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.points import CASES, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.embedded import Endpoints
    from tests.chaos.points import Case, Proof

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("points")]


@pytest.fixture(scope="module")
def proof(embedded: Endpoints) -> Iterator[Proof]:
    with prepared(embedded.database_url) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.job)
def test_the_end_is_that_of_one_clean_run(proof: Proof, case: Case) -> None:
    found = proof.of(case, points=1, dice=random.Random())

    assert not found.wrong, "\n".join(found.wrong)
    assert found.steps > 0
    assert found.killed_at
