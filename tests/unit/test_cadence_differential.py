"""2,000 random specs over a leap year, against a second cron engine: croniter.

Comparing every minute of every spec would be 10^8 fires, so each spec is compared in parts that add up to all of them:

* its days: every fire in the year of `0 0 <dom> <month> <dow>`;
* its hours and its minutes: every fire in a day of `0 <hours> * * *`, in an hour of `<minutes> * * * *`;
* the parts together: the whole spec in windows at random moments, and over the whole year where that is few fires.

Both engines follow Vixie cron (croniter with `implement_cron_bug`), but for three forms, where the rule of cronsim is
ours. Specs that have one are not left out: croniter gets them spelled in a way on which both agree (`spelled_out`).
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from croniter import CroniterBadDateError, croniter

from callboard.cadence import CadenceError, Cron, cron

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED, SPECS, CHUNKS = 20_261_122, 2_000, 10
SECOND = timedelta(seconds=1)
START = datetime(2028, 1, 1, tzinfo=UTC) - SECOND
YEAR = timedelta(days=366)
FEW_FIRES = 100
WINDOWS, FIRES_A_WINDOW = 3, 4

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# lowest value, highest value, longest step, names of the values from the lowest on, share of plain stars
MINUTE, HOUR = (0, 59, 60, (), 0.1), (0, 23, 24, (), 0.25)
DOM, MONTH, DOW = (1, 31, 31, (), 0.3), (1, 12, 12, MONTHS, 0.5), (0, 7, 7, DAYS, 0.3)
Field = tuple[int, int, int, tuple[str, ...], float]


def a_value(random: Random, field: Field, low: int | None = None) -> str:
    first, last, _, names, _ = field
    value = random.randint(first if low is None else low, last)
    if value - first < len(names) and random.random() < 0.4:
        return random.choice((str.lower, str.upper, str.title))(names[value - first])
    return str(value)


def a_range(random: Random, field: Field) -> str:
    """Seldom of a single value."""
    start = a_value(random, field)
    first = number(start, field)
    rising = first < field[1] and random.random() < 0.95
    return f"{start}-{a_value(random, field, first + 1 if rising else first)}"


def a_term(random: Random, field: Field) -> str:
    kind = random.choices(("value", "range", "star", "stepped", "open"), weights=(40, 25, 15, 12, 8))[0]
    base = {"star": "*", "range": a_range(random, field), "stepped": a_range(random, field)}.get(kind)
    base = base or a_value(random, field)
    if kind in {"value", "range"} or is_single(base, field):
        return base
    return f"{base}/{random.randint(1, field[2])}"


def is_single(base: str, field: Field) -> bool:
    """Whether it is a range of one value, which may have no step."""
    start, dash, end = base.partition("-")
    return bool(dash) and number(start, field) == number(end, field)


def a_field(random: Random, field: Field) -> str:
    if random.random() < field[4]:
        return "*"
    return ",".join(a_term(random, field) for _ in range(random.choice((1, 1, 1, 2, 2, 3))))


def a_spec(random: Random) -> str:
    fields = [a_field(random, field) for field in (MINUTE, HOUR, DOM, MONTH, DOW)]
    if random.random() < 0.02:  # dates that only some months have, and that some specs never meet
        fields[2:] = random.choice(("29", "30", "31", "30,31")), random.choice(("2", "feb", "4,6,9,11", "2-4/2")), "*"
    return " ".join(fields)


def number(value: str, field: Field) -> int:
    first, _, _, names, _ = field
    return names.index(value.lower()) + first if value.lower() in names else int(value)


def spelled_out(spec: str) -> tuple[str, set[str]]:
    """`spec` in forms that both engines read alike, and the rules for which that took a change.

    equal range: `5-5` is the 5 alone; croniter takes it for the whole cycle, as if it said `*`.
    step to Sunday: `a/n` in day-of-week counts up to 7, which is Sunday; croniter counts up to 6.
    full list: `1-31` beside a day field with a star that is not its first character, `1,*/2`, is "either", so every
        day; croniter takes `1-31` for a star and asks for both.
    """
    rules: set[str] = set()
    fields = [
        ",".join(spelled_out_term(term, field, rules) for term in text.split(","))
        for text, field in zip(spec.split(), (MINUTE, HOUR, DOM, MONTH, DOW), strict=True)
    ]
    if is_full(fields[2], DOM, beside=fields[4]) or is_full(fields[4], DOW, beside=fields[2]):
        rules.add("full list")
        fields[2] = fields[4] = "*"
    return " ".join(fields), rules


def spelled_out_term(term: str, field: Field, rules: set[str]) -> str:
    base, slash, step = term.partition("/")
    if is_single(base, field):
        rules.add("equal range")
        return base.partition("-")[0]
    if slash and "-" not in base and base != "*" and field is DOW:
        values = range(number(base, field), 8, int(step))
        if values[0] and values[-1] == 7:
            rules.add("step to Sunday")
        return ",".join(map(str, values))
    return term


def is_full(text: str, field: Field, *, beside: str) -> bool:
    """Whether a day field lists all its days without a star, beside one whose star is not in front."""
    if text.startswith("*") or beside.startswith("*") or not ("*" in beside or "*" in text):
        return False
    spec = f"0 0 {text} * *" if field is DOM else f"0 0 * * {text}"
    month = datetime(2028, 1, 1, tzinfo=UTC)
    return len(list(cron(spec).between(month - SECOND, month + timedelta(days=30)))) == 31


def reference(spec: str, start: datetime, end: datetime, most: float = math.inf) -> list[datetime]:
    """Croniter's fires in (start, end], at most so many; none where it says there is none within 50 years."""
    engine: Iterator[datetime] = croniter(spec, start, ret_type=datetime, implement_cron_bug=True)
    fires: list[datetime] = []
    try:
        while len(fires) < most and (fire := next(engine)) <= end:
            fires.append(fire)
    except CroniterBadDateError:
        return []
    return fires


def ours(cadence: Cron, start: datetime, end: datetime) -> list[datetime]:
    return list(cadence.between(start, end))


PARTS = (
    ("0 0 {2} {3} {4}", YEAR),
    ("0 {1} * * *", timedelta(days=1)),
    ("{0} * * * *", timedelta(hours=1)),
)


def differences(spec: str, random: Random) -> list[str]:
    """Where the engines differ over `spec`."""
    other, _ = spelled_out(spec)
    try:
        cadence = cron(spec)
    except CadenceError as refusal:
        return [f"{spec}: refused, {refusal}, but it fires"] if fires_at_all(spec) else []
    found, fires_a_year = [], 1
    for template, stretch in PARTS:
        part = ours(cron(template.format(*spec.split())), START, START + stretch)
        fires_a_year *= len(part)
        if part != reference(template.format(*other.split()), START, START + stretch):
            found.append(f"{spec}: {template}")
    if fires_a_year <= FEW_FIRES and ours(cadence, START, START + YEAR) != reference(other, START, START + YEAR):
        found.append(f"{spec}: the whole year")
    return found + [f"{spec}: at {moment}" for moment in windows_that_differ(cadence, other, random)]


def fires_at_all(spec: str) -> bool:
    return bool(reference(spelled_out(spec)[0], START, START + 10 * YEAR, most=1))


def windows_that_differ(cadence: Cron, other: str, random: Random) -> list[datetime]:
    differing = []
    for _ in range(WINDOWS):
        moment = START + YEAR * random.random()
        fires = [moment]
        for _ in range(FIRES_A_WINDOW):
            fires.append(cadence.after(fires[-1]))
        if fires[1:] != reference(other, moment, fires[-1]):
            differing.append(moment)
    return differing


def distinct_specs() -> list[str]:
    random = Random(SEED)
    specs: dict[str, None] = {}
    while len(specs) < SPECS:
        specs[a_spec(random)] = None
    return list(specs)


ALL_SPECS = distinct_specs()


@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.long) for chunk in range(1, CHUNKS))])
def test_the_same_fires_as_croniter(chunk: int) -> None:
    random = Random(f"{SEED}/windows/{chunk}")
    assert [line for spec in ALL_SPECS[chunk::CHUNKS] for line in differences(spec, random)] == []


def test_the_specs_cover_what_they_should() -> None:
    rules = Counter(rule for spec in ALL_SPECS for rule in spelled_out(spec)[1])
    assert set(rules) == {"equal range", "step to Sunday", "full list"}
    assert sum(bool(spelled_out(spec)[1]) for spec in ALL_SPECS) < SPECS * 0.2, "most are compared letter for letter"
    both_days = [spec for spec in ALL_SPECS if "*" not in (spec.split()[2], spec.split()[4])]
    assert len(both_days) > SPECS / 3
    assert sum(spec.split()[2].startswith("*/") or spec.split()[4].startswith("*/") for spec in both_days) > SPECS / 20
    assert any(not fires_at_all(spec) for spec in ALL_SPECS)


@pytest.mark.parametrize(
    ("spec", "rule", "count", "of_croniter"),
    [
        ("5-5 * * * *", "equal range", 7 * 24, 7 * 24 * 60),
        ("0 0 * * 1/2", "step to Sunday", 4, 3),
        ("0 0 1-31 * 1,*/4", "full list", 7, 3),
    ],
)
def test_where_the_engines_differ(spec: str, rule: str, count: int, of_croniter: int) -> None:
    """In the first week of 2028. When croniter changes its mind, this fails and the rule can go."""
    week = (START, START + timedelta(days=7))
    assert spelled_out(spec)[1] == {rule}
    assert len(ours(cron(spec), *week)) == count
    assert len(reference(spec, *week)) == of_croniter
    assert ours(cron(spec), *week) == reference(spelled_out(spec)[0], *week)
