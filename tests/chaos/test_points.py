"""Jobs of the catalogues memory and revenue end the same, run once, run twice, or killed in between.

One random point a job here; `python -m tests.chaos.points --points 20` takes its time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.points import CASES, DELIVER, prepared

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


def test_a_webhook_whose_run_dies_before_it_is_written_down_is_heard_again_under_its_own_id(proof: Proof) -> None:
    """Killed at every point: heard once a time, and twice where that was between the request and its commit."""

    def heard() -> dict[str, int]:
        came = [one for each in proof.town.webhooks.endpoints.values() for one in each.webhooks.values()]
        return {one["id"]: one["attempts"] for one in came}

    before = heard()
    found = proof.of(DELIVER, points=1000, dice=random.Random())
    assert not found.wrong, "\n".join(found.wrong)
    (more,) = {after - before.get(name, 0) for name, after in heard().items()} - {0}
    clean_and_twice = 2
    assert len(found.killed_at) == found.steps
    assert more > clean_and_twice + len(found.killed_at)
