from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.sessions.archive.periods import Level, Period
from actors.sessions.archive.plan import Retention, SessionFile, Step, home, is_due, plan

KEEP = Retention()
START = datetime(2025, 10, 20, 9, 30, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def file(modified: str, name: str = "a.jsonl") -> SessionFile:
    return SessionFile("-home-me", name, at(modified))


@pytest.mark.parametrize(
    ("now", "path"),
    [
        ("2026-03-12", "2026/03/W11/10.tar.xz"),  # a week ends on Sunday the 15th ...
        ("2026-03-22", "2026/03/W11/10.tar.xz"),
        ("2026-03-23", "2026/03/03-09_03-15.tar.xz"),  # ... and is merged when all of it is older than 7 days
        ("2026-04-28", "2026/03/03-09_03-15.tar.xz"),
        ("2026-04-29", "2026/03.tar.xz"),  # the same with the month and 4 weeks
        ("2027-12-31", "2026/03.tar.xz"),
        ("2028-01-01", "2026.tar.xz"),  # and with the year and 12 months
        ("2060-01-01", "2026.tar.xz"),
    ],
)
def test_the_home_of_a_day_depends_on_its_age(now: str, path: str) -> None:
    assert str(home(date(2026, 3, 10), at(now), KEEP).path) == path


def test_a_day_is_due_when_its_last_second_is_quiet() -> None:
    assert not is_due(date(2026, 3, 10), at("2026-03-11T23:59:59"), KEEP)
    assert is_due(date(2026, 3, 10), at("2026-03-12T00:00:00"), KEEP)


def test_a_member_names_day_folder_and_file() -> None:
    assert file("2026-03-10T23:30:00").member == "2026-03-10/-home-me/a.jsonl"


def test_a_file_is_filed_by_its_day_in_utc() -> None:
    east = datetime.fromisoformat("2026-03-11T01:00:00+09:00")
    assert SessionFile("p", "a.jsonl", east).day == date(2026, 3, 10)


def test_nothing_is_planned_before_a_day_is_due() -> None:
    assert plan([file("2026-03-10T12:00:00")], {}, at("2026-03-11T20:00:00"), KEEP) == []


def test_a_days_files_become_one_archive() -> None:
    files = [file("2026-03-10T12:00:00"), file("2026-03-10T13:00:00", "b.jsonl")]
    day = Period.of(Level.DAILY, date(2026, 3, 10))
    assert plan(files, {}, at("2026-03-12"), KEEP) == [Step(day, extends=False, files=files)]


def test_archived_files_are_left_alone() -> None:
    old = file("2026-03-10T12:00:00")
    day = Period.of(Level.DAILY, old.day)
    assert plan([old], {day: {old.member}}, at("2026-03-12"), KEEP) == []


def test_a_late_file_extends_its_archive() -> None:
    old, late = file("2026-03-10T12:00:00"), file("2026-03-10T12:00:00", "late.jsonl")
    day = Period.of(Level.DAILY, old.day)
    assert plan([old, late], {day: {old.member}}, at("2026-03-12"), KEEP) == [Step(day, extends=True, files=[late])]


def test_dailies_become_a_week() -> None:
    days = [Period.of(Level.DAILY, date(2026, 3, day)) for day in (9, 10, 15)]
    week = Period.of(Level.WEEKLY, date(2026, 3, 9))
    archives = {day: {str(day.first)} for day in days}
    assert plan([], archives, at("2026-03-22"), KEEP) == []
    assert plan([], archives, at("2026-03-23"), KEEP) == [Step(week, extends=False, parts=days)]


def test_a_merge_that_died_before_it_deleted_is_planned_again() -> None:
    day, week = (Period.of(level, date(2026, 3, 9)) for level in (Level.DAILY, Level.WEEKLY))
    archives = {day: {"x"}, week: {"x"}}
    assert plan([], archives, at("2026-03-23"), KEEP) == [Step(week, extends=True, parts=[day])]


def test_old_files_go_straight_to_where_they_belong() -> None:
    files = [file("2020-05-01T00:00:00"), file("2026-01-31T00:00:00"), file("2026-03-10T00:00:00")]
    targets = [str(step.target.path) for step in plan(files, {}, at("2026-03-14"), KEEP)]
    assert targets == ["2020.tar.xz", "2026/01.tar.xz", "2026/03/W11/10.tar.xz"]


def test_what_is_merged_stays_merged_when_the_retention_is_raised() -> None:
    month = Period.of(Level.MONTHLY, date(2026, 3, 1))
    late = file("2026-03-10T00:00:00")
    longer = Retention(weekly_weeks=52)
    assert plan([], {month: {"x"}}, at("2026-05-01"), longer) == []
    assert plan([late], {month: {"x"}}, at("2026-05-01"), longer) == [Step(month, extends=True, files=[late])]


class Disk:
    """Files and archives as plain sets: what a step does, without doing it."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], datetime] = {}
        self.archives: dict[Period, set[str]] = {}
        self.ever_due: set[str] = set()

    def found(self) -> list[SessionFile]:
        return [SessionFile(folder, name, modified) for (folder, name), modified in self.files.items()]

    def run(self, now: datetime, *, dies: bool = False) -> list[Step]:
        steps = plan(self.found(), self.archives, now, KEEP)
        for step in steps:
            self._carry_out(step, delete=not (dies and step is steps[-1]))
        return steps

    def _carry_out(self, step: Step, *, delete: bool) -> None:
        assert step.extends == (step.target in self.archives)
        written = self.archives.get(step.target, set()) | {file.member for file in step.files}
        for part in step.parts:
            assert step.target.covers(part)
            written |= self.archives[part]
        self.archives[step.target] = written
        for part in step.parts if delete else ():
            del self.archives[part]

    def holders(self, member: str) -> list[Period]:
        return [period for period, members in self.archives.items() if member in members]


def check(disk: Disk, now: datetime) -> None:
    """Every file that was ever due is in exactly one archive: the home of its day."""
    disk.ever_due |= {file.member for file in disk.found() if is_due(file.day, now, KEEP)}
    for member in disk.ever_due:
        assert disk.holders(member) == [home(date.fromisoformat(member[:10]), now, KEEP)], member
    assert all(members for members in disk.archives.values())


def check_retention(disk: Disk, now: datetime) -> None:
    for period in disk.archives:
        age = now.date() - period.last
        match period.level:
            case Level.DAILY:
                assert age <= timedelta(days=7 + 7)
            case Level.WEEKLY:
                assert timedelta(days=7) < age <= timedelta(weeks=4, days=31 + 7)
            case Level.MONTHLY:
                assert timedelta(weeks=4) < age <= timedelta(days=2 * 366)
            case Level.YEARLY:
                assert age > timedelta(days=365)


names = st.tuples(st.sampled_from(["p", "q"]), st.sampled_from(["a.jsonl", "b.jsonl", "c.jsonl"]))
events = st.lists(
    st.tuples(
        st.integers(1, 24 * 20),  # hours until the event
        st.lists(st.tuples(names, st.integers(0, 24 * 500)), max_size=3),  # files written, and how old they look
        st.lists(names, max_size=1),  # originals that a person deletes
        st.booleans(),  # whether the run dies in its last step, after the rename
    ),
    min_size=8,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(events)
def test_over_months_of_any_weather_each_file_is_in_exactly_one_archive(
    history: list[tuple[int, list[tuple[tuple[str, str], int]], list[tuple[str, str]], bool]],
) -> None:
    disk, now = Disk(), START
    for hours, written, deleted, dies in history:
        now += timedelta(hours=hours)
        disk.files |= {name: now - timedelta(hours=age) for name, age in written}
        if dies:
            disk.run(now, dies=True)
        disk.run(now)
        check(disk, now)
        check_retention(disk, now)
        assert disk.run(now) == [], "a second run at once finds work"
        for name in deleted:
            disk.files.pop(name, None)


def test_two_years_with_a_file_a_day() -> None:
    disk, now = Disk(), START
    for day in range(365 * 2):
        now = START + timedelta(days=day)
        disk.files["p", f"{day}.jsonl"] = now
        disk.files.pop(("p", f"{day - 60}.jsonl"), None)
        disk.run(now)
    check(disk, now)
    check_retention(disk, now)
    count = {level: sum(period.level is level for period in disk.archives) for level in Level}
    assert 7 <= count[Level.DAILY] <= 14
    assert 4 <= count[Level.WEEKLY] <= 11
    assert 12 <= count[Level.MONTHLY] <= 24
    assert count[Level.YEARLY] == 1
    disk.run(at("2028-01-01"))
    assert sum(period.level is Level.YEARLY for period in disk.archives) == 2
