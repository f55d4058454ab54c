"""The state machine in small; `python -m tests.conformance.state_machine` plays it for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.rigs import MemoryRig, RedisRig
from tests.conformance.state_machine import machine, profile

if TYPE_CHECKING:
    from callboard.embedded import Endpoints


@pytest.mark.parametrize("dice", [1, 2])
def test_a_broker_in_memory_loses_nothing(dice: int) -> None:
    world = machine(MemoryRig, dice)
    run_state_machine_as_test(world, settings=profile(examples=10, steps=50))
    assert world.steps > 100


@pytest.mark.parametrize("dice", [1, 2])
def test_a_broker_on_a_real_server_loses_nothing(embedded: Endpoints, dice: int) -> None:
    world = machine(lambda: RedisRig(embedded), dice)
    run_state_machine_as_test(world, settings=profile(examples=6, steps=50))
    assert world.steps > 60
