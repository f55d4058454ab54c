"""Retry policies: bounds of their delays, and what they refuse."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import DeclarationError
from callboard.retry import LONGEST_DELAY, Backoff, Delays, NoRetry, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST, HIGHEST = 0.0, 1 - 2**-53  # of random.random()
seconds = st.floats(0, LONGEST_DELAY)
fractions = st.floats(0, 1)
randoms = st.floats(LOWEST, HIGHEST)


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    base, cap = sorted((draw(seconds), draw(seconds)))
    most = draw(st.integers(0, 50) | st.just(1_000_000))
    return Backoff(max_retries=most, base=base, cap=cap, factor=draw(st.floats(1, 10)), jitter=draw(fractions))


def delay(policy: RetryPolicy, retry: int, number: float = 0.5) -> float:
    found = policy.delay(retry, random=lambda: number)
    assert found is not None
    return found


def test_delays_double_up_to_the_cap() -> None:
    policy = Backoff(max_retries=9, base=15, cap=1_000, jitter=0)
    assert [delay(policy, retry) for retry in range(1, 10)] == [15, 30, 60, 120, 240, 480, 960, 1_000, 1_000]


def test_jitter_spreads_both_ways_and_stays_below_the_cap() -> None:
    policy = Backoff(max_retries=9, base=100, cap=1_000, jitter=0.25)
    assert [delay(policy, 1, number) for number in (LOWEST, 0.5, HIGHEST)] == pytest.approx([75, 100, 125])
    assert [delay(policy, 9, number) for number in (LOWEST, 0.5, HIGHEST)] == pytest.approx([600, 800, 1_000])


def test_fixed_delays() -> None:
    policy = Delays(1, 2, 5, 10, 30, jitter=0)
    assert [policy.delay(retry, random=random.random) for retry in range(1, 7)] == [1, 2, 5, 10, 30, None]
    assert policy.max_retries == 5
    assert [delay(Delays(8), 1, number) for number in (LOWEST, 0.5, HIGHEST)] == pytest.approx([6, 8, 10])


@pytest.mark.parametrize("policy", [NoRetry(), Backoff(max_retries=0)])
def test_no_retry_gives_up_at_once(policy: RetryPolicy) -> None:
    assert policy.max_retries == 0
    assert policy.delay(1, random=random.random) is None


@given(backoffs(), st.integers(1, 1_000_001), randoms)
def test_backoff_stays_within_its_bounds(policy: Backoff, retry: int, number: float) -> None:
    found = policy.delay(retry, random=lambda: number)
    assert (found is None) == (retry > policy.max_retries)
    if found is not None:
        assert 0 <= found <= policy.cap
        lowest, middle, highest = (delay(policy, retry, value) for value in (LOWEST, 0.5, HIGHEST))
        assert lowest <= found <= highest
        assert lowest >= middle * (1 - policy.jitter) * (1 - 1e-9)
        assert highest <= middle * (1 + policy.jitter) * (1 + 1e-9)


@given(backoffs(), st.integers(1, 60), randoms)
def test_the_envelope_never_falls(policy: Backoff, retry: int, number: float) -> None:
    if retry < policy.max_retries:
        assert delay(policy, retry, number) <= delay(policy, retry + 1, number)


@given(st.lists(seconds, min_size=1, max_size=20), fractions, randoms)
def test_fixed_delays_stay_within_their_jitter(given_delays: list[float], jitter: float, number: float) -> None:
    policy = Delays(*given_delays, jitter=jitter)
    for retry, middle in enumerate(given_delays, start=1):
        found = delay(policy, retry, number)
        assert found >= 0
        assert middle * (1 - jitter) * (1 - 1e-9) <= found <= middle * (1 + jitter) * (1 + 1e-9)
    assert policy.delay(len(given_delays) + 1, random=random.random) is None


@pytest.mark.parametrize("policy", [Backoff(), Delays(1), NoRetry()])
@pytest.mark.parametrize("retry", [0, -1])
def test_retries_count_from_one(policy: RetryPolicy, retry: int) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        policy.delay(retry, random=random.random)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Backoff(max_retries=-1), "Backoff(max_retries=-1): max_retries must be from 0 to 1,000,000"),
        (lambda: Backoff(max_retries=2.5), "max_retries must be a whole number"),  # type: ignore[arg-type]
        (lambda: Backoff(max_retries=True), "max_retries must be a whole number"),
        (lambda: Backoff(base=-1), "Backoff(base=-1): base must be from 0 to 31,622,400"),
        (lambda: Backoff(base=float("nan")), "base must be a number"),
        (lambda: Backoff(base="15"), "base must be a number"),  # type: ignore[arg-type]
        (lambda: Backoff(factor=0.5), "Backoff(factor=0.5): factor must be from 1 to 10"),
        (lambda: Backoff(base=60, cap=30), "Backoff(cap=30): cap must be from 60 to 31,622,400"),
        (lambda: Backoff(cap=float("inf")), "cap must be a number"),
        (lambda: Backoff(jitter=1.5), "Backoff(jitter=1.5): jitter must be from 0 to 1"),
        (Delays, "Delays(): 0 delays given, 1 to 1,000,000 are needed; write NoRetry() for none"),
        (lambda: Delays(60, -300), "Delays(delay 2=-300): delay 2 must be from 0"),
        (lambda: Delays(60, jitter=-0.1), "Delays(jitter=-0.1): jitter must be from 0 to 1"),
    ],
)
def test_refusals_name_the_field_the_value_and_the_bounds(declare: Callable[[], RetryPolicy], message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert message in str(caught.value)


def test_policies_are_values() -> None:
    assert Delays(1, 2) == Delays(1, 2) != Delays(1, 2, jitter=0)
    assert len({Backoff(), Backoff(), NoRetry(), NoRetry()}) == 2
    assert repr(Delays(1, 2)) == "Delays(seconds=(1, 2), jitter=0.25)"
    with pytest.raises(AttributeError):
        Delays(1).jitter = 0.0  # type: ignore[misc]
