"""Words of filters for the rows of `rows`: several for every key, and dice that put filters together of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from callboard.filters import FIELDS, Resource
from tests.integration.filters.rows import IDS, NOW, WORKERS

if TYPE_CHECKING:
    import random

_DAY = (NOW - timedelta(days=1)).date().isoformat()
_HOUR_AGO = (NOW - timedelta(hours=1)).isoformat()
_MOMENTS = [f">{_DAY}", f"<={_DAY}", _DAY, f">={_HOUR_AGO}", f"<{_HOUR_AGO}", ">2h", "<=1d"]
_COMPARED = [">1", ">=2", "<2", "<=1", "1", "1,2", "12", "0"]
_WITHIN = [
    "timed",
    "TIMED",
    "100%",
    "a_c",
    '"say \\"no\\""',
    "k\\s",
    "Übel",
    "übel",
    "no*12",
    "error",
    '""',
    "*",
    "zzz",
]
_WHOLE = {
    "job": ["sync_mail", "sync_*", "a_b", "a*b", '"Sync%all"', "*", "SYNC_MAIL", "ä*", "none", "sync_mail,axb", "n*"],
    "queue": ["mail", '"low priority"', "low*", '""', "mail,default", "nowhere"],
    "trigger": ["schedule", "manual:*", "replay:7", "cli:anna,send", "job:*", "*:*"],
    "scope": ["42", '""', "p*", '"",42'],
    "project": ["p1", '""', "*", "p1,p2", "p9"],
    "correlation": [f"job-{IDS[1]}", f"job-{IDS[30]}", "job-none", "job-0197c2*", f"job-{IDS[1]},job-{IDS[30]}"],
    "type": ["job_failure", "queue_*", "queue", "r*"],
    "subject": ["mail", '""'],
    "who": ["schedule", "manual:*", "cli:anna,send", "nobody@example.org"],
    "action": ["run.cancel", "run.*", "queue.pause,run.trigger"],
    "resource": ["mail", "7", "*-1"],
    "team": [str(WORKERS[0]), f"{WORKERS[1]},nobody", '""', "0197ff*"],
    "ip": ["10.0.0.1", "10.*", '""'],
    "by": ["cli:anna", "cli:*", '""'],
}
_IDS = [str(IDS[2]), str(IDS[2]).replace("-", ""), "0197c2", "0197c203", "0197ff01", "ffff", f"{IDS[1]},{IDS[30]}"]
_KINDS = {
    "number": _COMPARED,
    "age": [">1h", "<1h", ">=1d", "<=2h", ">59s"],
    "duration": [">60s", "<=1s", ">=89s", "<5m", ">1h"],
    "id": _IDS,
}


def of(resource: Resource, key: str) -> list[str]:
    """Words of one key, without its negations."""
    field = FIELDS[resource][key]
    if field.values:
        values = [*field.values, "*", ",".join(field.values[:2])]
    elif key in ("since", "until"):
        values = [_DAY, _HOUR_AGO, "2h"]
    elif field.kind.name == "moment":
        values = _MOMENTS
    elif key == "text" and resource == "runs":
        values = [*_WITHIN, "sync", "0197c205", "0197C2", "mail"]
    elif field.kind.name == "text within":
        values = _WITHIN
    else:
        values = _WHOLE.get(key) or _KINDS[field.kind.name]
    return [f"{key}:{value}" for value in values]


def some(dice: random.Random, resource: Resource) -> str:
    """A filter of a few words."""
    chosen = [dice.choice(of(resource, dice.choice(list(FIELDS[resource])))) for _ in range(dice.randrange(1, 4))]
    return " ".join(f"{dice.choice(['', '', '-'])}{word}" for word in chosen)
