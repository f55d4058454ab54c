"""The parts of the live updates that need no server: what waits for a listener, and what was told before."""

from __future__ import annotations

import json

import pytest

from callboard.news import EVERYTHING, MOST_PROJECTS, TOPICS, Gathered, News, Topic, _payloads, decode, encode
from console.live.history import History
from console.live.hub import _with_metrics
from console.live.subscriber import METRICS_SECONDS, THROTTLE_SECONDS, Subscriber


def news(*topics: Topic, projects: tuple[str, ...] | None = ("",)) -> News:
    return News(frozenset(topics), None if projects is None else frozenset(projects))


def heard(subscriber: Subscriber, now: float, newest: int = 0) -> list[tuple[str, list[str] | None, str]]:
    """Topic, projects and id of each message that may be told now."""
    messages = []
    for block in subscriber.take(now, newest, str).decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        data = json.loads(lines["data"])
        assert data["topic"] == lines["event"]
        assert data["sent_at"].endswith("Z")
        messages.append((lines["event"], data["payload"]["project_ids"], lines["id"]))
    return messages


def test_a_payload_comes_back_as_it_was_sent() -> None:
    for told in (news("jobs_changed"), news("jobs_changed", "issues_changed", projects=("a", "b")), EVERYTHING):
        assert decode(encode(told)) == told


def test_a_payload_fits_whatever_is_told() -> None:
    many = tuple(f"{number:0100d}" for number in range(MOST_PROJECTS))
    assert len(encode(News(TOPICS, frozenset(many))).encode()) < 8000
    assert decode(encode(News(TOPICS, frozenset((*many, "one more"))))) == EVERYTHING
    assert decode(encode(news("jobs_changed", projects=("x" * 101,)))) == news("jobs_changed", projects=None)


@pytest.mark.parametrize("payload", ["", "{", "[]", "7", '{"t": 7, "p": []}', '{"t": ["jobs_changed"]}', "null"])
def test_what_somebody_else_tells_on_our_channel_is_left_alone(payload: str) -> None:
    assert decode(payload) is None


def test_a_topic_of_a_later_version_is_left_out() -> None:
    assert decode('{"t": ["jobs_changed", "moon_changed"], "p": [""]}') == news("jobs_changed")


def test_many_changes_are_one_message_and_the_last_one_is_told() -> None:
    subscriber = Subscriber(TOPICS, None)
    subscriber.offer(1, news("jobs_changed", projects=("a",)))
    assert heard(subscriber, 100.0, 1) == [("jobs_changed", ["a"], "1")], "the first one at once"
    for number in range(2, 50):
        subscriber.offer(number, news("jobs_changed", projects=(f"p{number % 2}",)))
        assert heard(subscriber, 100.5, number) == []
    assert subscriber.next_due() == pytest.approx(100.0 + THROTTLE_SECONDS)
    assert heard(subscriber, 100.8, 49) == [("jobs_changed", ["p0", "p1"], "49")]
    assert subscriber.next_due() is None


def test_topics_do_not_wait_for_one_another() -> None:
    subscriber = Subscriber(TOPICS, None)
    subscriber.offer(1, news("jobs_changed"))
    heard(subscriber, 100.0, 1)
    subscriber.offer(2, news("jobs_changed", "issues_changed"))
    assert heard(subscriber, 100.1, 2) == [("issues_changed", [""], "1")], "of 2, jobs_changed is still owed"
    assert heard(subscriber, 100.8, 2) == [("jobs_changed", [""], "2")]


def test_numbers_are_told_less_often_than_what_they_count() -> None:
    subscriber = Subscriber(TOPICS, None)
    told: dict[str, int] = {"jobs_changed": 0, "dashboard_metrics_changed": 0}
    for tenth in range(100):
        subscriber.offer(tenth, _with_metrics(news("jobs_changed")))
        for topic, _, _ in heard(subscriber, 100 + tenth / 10, tenth):
            told[topic] += 1
    assert told == {"jobs_changed": 13, "dashboard_metrics_changed": 2}
    assert METRICS_SECONDS == 5


def test_what_is_not_listened_to_is_not_kept() -> None:
    subscriber = Subscriber({"issues_changed"}, None)
    subscriber.offer(1, news("jobs_changed"))
    assert not subscriber.wake.is_set()
    assert heard(subscriber, 100.0) == []


def test_a_member_hears_of_their_projects_only_and_of_no_other_ones_name() -> None:
    subscriber = Subscriber(TOPICS, frozenset(("mine", "ours")))
    for number, projects in enumerate([("theirs",), ("",), ("theirs", "")]):
        subscriber.offer(number, news("jobs_changed", projects=projects))
    assert heard(subscriber, 100.0) == []
    subscriber.offer(4, news("issues_changed", projects=("mine", "theirs", "")))
    assert heard(subscriber, 100.0, 4) == [("issues_changed", ["mine"], "4")]
    subscriber.offer(5, news("job_failures_changed", projects=None))
    assert heard(subscriber, 100.0, 5) == [("job_failures_changed", None, "5")], "it may be theirs: they look again"


def test_whoever_has_no_project_hears_nothing_at_all() -> None:
    subscriber = Subscriber(TOPICS, frozenset())
    subscriber.offer(1, EVERYTHING)
    subscriber.offer(2, news("jobs_changed"))
    assert heard(subscriber, 100.0) == []


def test_a_slow_listener_costs_no_memory() -> None:
    subscriber = Subscriber(TOPICS, None)
    for number in range(5000):
        subscriber.offer(number, News(TOPICS, frozenset((f"p{number}",))))
    assert len(subscriber._waiting) == len(TOPICS)
    assert {one.projects for one in subscriber._waiting.values()} == {None}, "more than fits is everything"


def test_whoever_comes_back_hears_what_came_since() -> None:
    history = History()
    history.add(news("jobs_changed"))
    place = history.position(history.number)
    assert list(history.since(place)) == []
    history.add(news("issues_changed"))
    history.add(news("job_failures_changed"))
    assert list(history.since(place)) == [(2, news("issues_changed")), (3, news("job_failures_changed"))]


@pytest.mark.parametrize(
    "place", ["", "x", "-", "-1", "other-1", "{boot}-9", "{boot}--1", "{boot}-²", "{boot}-" + "9" * 40]
)
def test_a_place_that_is_not_known_means_everything(place: str) -> None:
    history = History()
    history.add(news("jobs_changed"))
    boot = history.position(0).partition("-")[0]
    assert list(history.since(place.format(boot=boot))) == [(1, EVERYTHING)]


def test_a_place_that_is_too_long_ago_means_everything() -> None:
    history = History(kept=3)
    places = [history.position(history.add(news("jobs_changed"))) for _ in range(5)]
    assert list(history.since(places[0])) == [(5, EVERYTHING)]
    assert len(list(history.since(places[1]))) == 3
    assert list(History().since(places[4])) == [(0, EVERYTHING)], "another process"


def test_what_a_process_changed_is_told_by_the_projects_it_changed_in() -> None:
    gathered = Gathered()
    assert not gathered
    gathered.add("jobs_changed", (None, "p1"))
    gathered.add("job_failures_changed", ("p2",))
    gathered.add("issues_changed", ("p2",))
    assert gathered
    told = {decode(payload) for payload in _payloads(gathered._projects_of)}
    assert told == {
        news("jobs_changed", projects=("", "p1")),
        news("job_failures_changed", "issues_changed", projects=("p2",)),
    }
