"""Values that cannot be sent and bodies that cannot be read: g of the design document.

Bodies are put into the broker by hand, past every check of a producer, in the keys that `callboard/broker/redis.py`
describes at its top.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.chaos.case import Case

if TYPE_CHECKING:
    from tests.chaos.stage import Stage
    from tests.chaos.tally import Tally

_NS = "{callboard}"
_QUEUE = "fault"
_KEPT = "select count(*), count(distinct payload) from board.dead_letters where payload = any(:bodies)"
_ALL = "select count(*) from board.dead_letters"


def push(stage: Stage, body: bytes | None, *, name: str = "", queue: str = _QUEUE) -> None:
    """Make a body ready in a queue; None: an id without one."""
    name = name or f"{uuid4()}.0"
    with stage.client.pipeline() as pipe:
        if body is not None:
            pipe.hset(f"{_NS}:msgs:{queue}", name, b"0\n" + body)
        pipe.sadd(f"{_NS}:queues", queue)
        pipe.rpush(f"{_NS}:ready:{queue}:0", name)
        pipe.zadd(f"{_NS}:levels:{queue}", {"0": 0})
        pipe.delete(f"{_NS}:bell:{queue}")
        pipe.rpush(f"{_NS}:bell:{queue}", "1")
        pipe.execute()


def message(number: int = 0, **changes: object) -> dict[str, object]:
    """A right message for `work`, as JSON holds it, with some fields changed; `...` takes one away."""
    right: dict[str, object] = {
        "queue_name": _QUEUE,
        "actor_name": "work",
        "args": [],
        "kwargs": {"number": 10_000 + number},
        "options": {},
        "message_id": str(uuid4()),
        "message_timestamp": 1_790_000_000_000,
    }
    return {name: value for name, value in (right | changes).items() if value is not ...}


def encoded(number: int = 0, **changes: object) -> bytes:
    """The same as bytes."""
    return json.dumps(message(number, **changes)).encode()


def corrupt(number: int) -> list[bytes]:
    """Bodies that say nothing that could be run; every call gives other ones."""
    return [
        encoded(number)[:-7],
        b'{"n": %d' % number,
        b"[%d]" % number,
        b"null" + b" " * number,
        b" " * number,
        b"\xff\xfe\x80%d" % number,
        b"[" * (10_000 + number),
        b"\x80\x04\x95%d." % number,  # a pickle
        encoded(number, message_id=...),
        encoded(number, message_id=f"no uuid {number}"),
        encoded(number, message_id=number),
        encoded(number, args={"number": number}),
        encoded(number, kwargs=[number]),
        encoded(number, options=None),
        encoded(number, message_timestamp="today"),
        encoded(number, message_timestamp=10**18 + number),
        encoded(number, actor_name=[number]),
        b'{"number": NaN, "n": %d}' % number,
        b"x" * (10_000_000 + number),
    ]


def _mixed(stage: Stage, bodies: list[bytes], healthy: int, faults: str, *, raw: bool = True) -> Tally:
    """Bad bodies among healthy messages: each is a dead letter with its bytes, and everything else runs."""
    (worker,) = stage.workers(1)
    stage.send("work", healthy, rate=200, wait=False)
    for body in bodies:
        push(stage, body)
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    letters, different = stage.fleet_query(_KEPT, bodies=bodies)[0] if raw else (stage.fleet_query(_ALL)[0][0],) * 2
    tally.facts |= {faults: len(bodies), "dead letters": different}
    done = sum(effect.what == "E" for effect in stage.effects())
    tally.expect(letters == len(bodies) == different, f"{letters} dead letters for {len(bodies)} {faults}")
    tally.expect(stage.fleet_query(_ALL)[0][0] == len(bodies), "there are other dead letters too")
    tally.expect(done == healthy, f"{done} of {healthy} healthy messages ran")
    tally.expect(worker.poll() is None, "the worker ended")
    tally.misburied = 0  # a letter for what was never a run is all that is wanted
    return tally


def odd_values(stage: Stage) -> Tally:
    """A producer sends what JSON cannot hold: every send raises, and nothing is left behind."""
    stage.workers(1)
    stage.send("work", 0, odd=True)
    stage.send("kept", 0, odd=True)
    stage.settle()
    tally = stage.tally()
    tally.facts["values refused"] = tally.refused
    tally.expect(tally.acked == 0, f"{tally.acked} odd values were accepted: {_accepted(stage)}")
    tally.expect(tally.unknown_ran == 0, f"{tally.unknown_ran} refused sends left a run behind")
    return tally


def _accepted(stage: Stage) -> list[str]:
    """Places in the order of the producer's list."""
    lines = stage.sent_log.read_text().splitlines()
    return [f"{place}: {line.split()[2]}" for place, line in enumerate(lines) if line.split()[1] == "ok"]


def unknown_actors(stage: Stage, *, bad: int = 10, healthy: int = 1000) -> Tally:
    """Messages for a job that no worker knows: their letters can be replayed once somebody does."""
    return _mixed(
        stage, [encoded(n, actor_name=f"nobody_{n}") for n in range(bad)], healthy, "unknown actors", raw=False
    )


def corrupt_bodies(stage: Stage, *, rounds: int = 10, healthy: int = 1000) -> Tally:
    """Bytes that are no message."""
    return _mixed(stage, [body for number in range(rounds) for body in corrupt(number)], healthy, "corrupt bodies")


def wrong_queues(stage: Stage, *, bad: int = 10, healthy: int = 1000) -> Tally:
    """Messages that lie in another queue than they name."""
    return _mixed(stage, [encoded(n, queue_name="elsewhere") for n in range(bad)], healthy, "wrong queue names")


def wrong_ids(stage: Stage, *, bad: int = 10, healthy: int = 500) -> Tally:
    """Messages under a name that is not theirs run once; names without a message vanish."""
    (worker,) = stage.workers(1)
    for number in range(bad):
        push(stage, encoded(number), name=f"not-its-id-{number}")
        push(stage, None, name=f"{uuid4()}.0")
    stage.send("work", healthy)
    stage.settle()
    tally = stage.tally()
    done = len({effect.run for effect in stage.effects() if effect.what == "E"})
    tally.facts["foreign ids"] = bad
    tally.expect(done + stage.fleet_query(_ALL)[0][0] == healthy + bad, f"{done} of {healthy + bad} messages ran")
    tally.expect(worker.poll() is None, "the worker ended")
    return tally


CASES = [
    Case(name="g1", fault="values that JSON cannot hold", play=odd_values, quick={}),
    Case(
        name="g2",
        fault="10 unknown actors among 1,000",
        play=unknown_actors,
        settings={"unknown_job_grace_seconds": 0},
    ),
    Case(name="g3", fault="190 corrupt bodies among 1,000", play=corrupt_bodies, quick={"rounds": 1, "healthy": 60}),
    Case(name="g4", fault="10 wrong queue names among 1,000", play=wrong_queues),
    Case(name="g5", fault="ids without a body, bodies under foreign ids", play=wrong_ids),
]  # fmt: skip
