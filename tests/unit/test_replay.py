"""What a replay is made of: changed arguments, and its pace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard import ArgumentsError
from callboard.replay import Pace
from callboard.replay._again import edited
from callboard.spec import JobSpec

NAMES = ("first", "second", "third", "fourth")
values = st.integers(0, 9)


def spec(fn: Callable[..., object]) -> JobSpec:
    return JobSpec(name="job", fn=fn)


def fixed(first: int, /, second: int = 20, *, third: int = 30) -> dict[str, int]:
    return {"first": first, "second": second, "third": third}


def gathering(first: int, *rest: int, second: int = 20, **more: int) -> dict[str, Any]:
    return {"first": first, "rest": rest, "second": second, **more}


@given(
    args=st.lists(values, min_size=1, max_size=2).map(tuple),
    kwargs=st.dictionaries(st.just("third"), values),
    change=st.dictionaries(st.sampled_from(NAMES[:3]), values, min_size=1),
)
def test_changed_arguments_take_the_place_of_those_of_the_same_name(
    args: tuple[int, ...], kwargs: dict[str, int], change: dict[str, int]
) -> None:
    new_args, new_kwargs = edited(spec(fixed), args, kwargs, change)
    assert fixed(*new_args, **new_kwargs) == fixed(*args, **kwargs) | change


@given(args=st.lists(values, min_size=1, max_size=4).map(tuple), change=st.dictionaries(st.sampled_from(NAMES), values))
def test_what_a_job_gathers_stays_and_may_grow(args: tuple[int, ...], change: dict[str, int]) -> None:
    new_args, new_kwargs = edited(spec(gathering), args, {"fourth": 4}, change)
    assert gathering(*new_args, **new_kwargs) == gathering(*args, fourth=4) | change


def test_a_missing_argument_is_given_and_others_replace_what_fits_no_more() -> None:
    assert edited(spec(fixed), (), {"third": 3}, {"first": 1}) == ((1,), {"third": 3})
    assert edited(spec(fixed), (1, 2, 3, 4), {}, {"first": 5}) == ((5,), {})


@pytest.mark.parametrize(
    ("fn", "change", "words"),
    [
        (fixed, {"thrd": 1}, "takes no argument 'thrd'; did you mean 'third'"),
        (fixed, {"second": 1}, "missing a required.*'first'"),
        (gathering, {"rest": [1]}, "takes no argument 'rest'"),
        (gathering, {"more": {}}, "takes no argument 'more'"),
    ],
)
def test_what_does_not_fit_is_refused(fn: Callable[..., object], change: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentsError, match=words):
        edited(spec(fn), (), {}, change)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@given(rate=st.floats(0.01, 5000), batches=st.integers(1, 40), late=st.floats(0, 3))
def test_a_rate_is_kept_and_lost_time_is_not_made_up_for(rate: float, batches: int, late: float) -> None:
    clock = Clock()
    pace = Pace(rate, sleep=clock.sleep, clock=clock)
    spent = 0
    for number in range(batches):
        assert pace.wait(lambda: False)
        assert clock.now >= spent / rate - 1e-6
        pace.spend(pace.size)
        spent += pace.size
        clock.now += late if number == 0 else 0
    assert pace.wait(lambda: False)
    assert clock.now == pytest.approx(max(spent / rate, late + (spent - pace.size) / rate if batches > 1 else late))


def test_full_rate_never_waits_and_a_stop_ends_a_wait() -> None:
    clock = Clock()
    free = Pace(None, sleep=clock.sleep, clock=clock)
    free.spend(500)
    assert free.wait(lambda: False)
    assert (clock.now, free.size) == (0.0, 500)
    slow = Pace(0.01, sleep=clock.sleep, clock=clock)
    slow.spend(slow.size)
    assert not slow.wait(lambda: clock.now >= 1)
    assert clock.now == pytest.approx(1.0)
