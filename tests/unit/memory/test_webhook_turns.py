"""Turns at an endpoint: far apart where it is slow, close together where it is fast, and soon enough in any case."""

from __future__ import annotations

import pytest

from actors.memory.webhooks.turns import Turns


def test_turns_at_a_slow_endpoint_are_as_far_apart_as_it_is_slow() -> None:
    turns = _known("a", 15.0)
    waits = [turns.full("a", 2), *(turns.wait("a") for _ in range(7))]
    assert waits == pytest.approx([7.5 * number for number in range(1, 9)], rel=0.02)


def test_a_slot_is_asked_for_unless_all_were_taken_just_now() -> None:
    turns = _known("a", 15.0)
    assert turns.wait("a") is None
    turns.full("a", 2)
    assert turns.wait("a") is not None
    fast = _known("b", 0.0)
    fast.full("b", 2)
    assert fast.wait("b") is None


def test_a_fast_endpoint_is_asked_again_soon() -> None:
    turns = _known("a", 0.002)
    assert all(0.3 <= turns.full("a", 2) <= 0.7 for _ in range(100))


def test_nobody_waits_for_more_than_two_minutes_and_those_are_spread() -> None:
    turns = Turns()
    waits = [turns.full("a", 1) for _ in range(1000)][600:]
    assert 60 <= min(waits) < 70
    assert 110 < max(waits) <= 120


def test_endpoints_do_not_wait_for_one_another() -> None:
    turns = Turns()
    for _ in range(100):
        turns.full("a", 1)
    assert turns.wait("b") is None
    assert turns.full("b", 1) < 1


def test_only_those_that_were_used_last_are_remembered() -> None:
    turns = _known("old", 100.0)
    for number in range(4096):
        turns.took(number, 1.0)
    assert turns.full("old", 1) < 1


def _known(endpoint: str, seconds: float) -> Turns:
    """An endpoint that was seen often enough to know it."""
    turns = Turns()
    for _ in range(80):
        turns.took(endpoint, seconds)
    return turns
