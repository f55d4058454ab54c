"""Whatever order operators act in, and wherever they stop: a letter is settled once, and a replayed one has one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard import ReplayRefused, get_broker, job
from callboard.filters import Filter, parse
from callboard.operations import Who
from callboard.operations.letters import ReplayEvent, discard, discard_many, replay, replay_many
from tests.board import Board
from tests.integration.engine.letters import bury

LETTERS, OPERATORS = 7, 3
numbers, operators = st.integers(0, LETTERS - 1), st.integers(0, OPERATORS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("go on"), operators),
        st.tuples(st.just("leave"), operators),
        st.tuples(st.just("replay"), numbers),
        st.tuples(st.just("discard"), numbers),
        st.tuples(st.just("discard from"), numbers),
    ),
    max_size=25,
)


@dataclass
class Story:
    """What the operators were told: by letter, how often it was replayed or discarded."""

    letters: list[int]
    meant: Filter
    replayed: Counter[int] = field(default_factory=Counter)
    discarded: int = 0
    working: dict[int, Iterator[ReplayEvent]] = field(default_factory=dict)

    def act(self, step: str, number: int) -> None:
        acts: dict[str, Callable[[int], None]] = {
            "go on": self.go_on,
            "leave": lambda operator: self.working.pop(operator, iter(())) and None,
            "replay": lambda index: self.once(index, replaying=True),
            "discard": lambda index: self.once(index, replaying=False),
            "discard from": self.discard_from,
        }
        acts[step](number)

    def go_on(self, operator: int) -> None:
        events = self.working.setdefault(operator, replay_many(self.meant, who=Who(f"cli:{operator}")))
        event = next(events, None)
        if event is None:
            del self.working[operator]
        else:
            assert event.result == "replayed"
            self.replayed[event.letter_id] += 1

    def once(self, index: int, *, replaying: bool) -> None:
        letter = self.letters[index]
        try:
            if replaying:
                replay(letter, who=Who("cli:one"))
                self.replayed[letter] += 1
            else:
                discard(letter, who=Who("cli:one"))
                self.discarded += 1
        except ReplayRefused:
            pass

    def discard_from(self, index: int) -> None:
        self.discarded += discard_many(parse(f"id:>={self.letters[index]} state:*", "dead_letters"), who=Who("cli:all"))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.replay._pace._LARGE", 2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
@pytest.mark.usefixtures("small_batches")
def test_every_letter_is_settled_once(board: Board, steps: list[tuple[str, int]]) -> None:
    get_broker().actors.pop("orderly", None)

    @job("orderly")
    def orderly(number: int) -> None:
        raise AssertionError(number)  # no worker runs here

    letters = bury(orderly, [(number,) for number in range(LETTERS)])
    story = Story(letters, parse(f"id:>={letters[0]} state:*", "dead_letters"))
    for step, number in steps:
        story.act(step, number)
    story.replayed.update(event.letter_id for event in replay_many(story.meant, who=Who("cli:last")))
    states = dict(board.query("select id, state from board.dead_letters where id >= :id", id=letters[0]))
    runs = dict(
        board.query(
            "select split_part(trigger, ':', 2)::int, count(*) from board.runs "
            "where split_part(trigger, ':', 2)::int >= :id group by 1",
            id=letters[0],
        )
    )
    replayed = {letter for letter, state in states.items() if state == "replayed"}
    assert "open" not in states.values()
    assert runs == dict.fromkeys(replayed, 1)
    assert set(story.replayed) <= replayed, "told replayed, but it is not"
    assert not {letter for letter, times in story.replayed.items() if times > 1}
    assert Counter(states.values())["discarded"] == story.discarded
