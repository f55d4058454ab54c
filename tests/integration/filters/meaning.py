"""What a filter means for one row, said without SQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from callboard.filters import FIELDS
from tests.integration.filters.rows import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.filters import Filter
    from callboard.filters._syntax import Item, Word

    Row = dict[str, Any]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ORDER = {">": 1, ">=": 1, "<": -1, "<=": -1}
_COLUMNS = {
    "project": "project_id",
    "correlation": "correlation_id",
    "parent": "parent_id",
    "run": "run_id",
    "issue": "issue_id",
    "worker": "worker_id",
    "by": "settled_by",
    "replay": "replay_run_id",
    "started": "started_at",
    "finished": "finished_at",
    "first": "first_seen_at",
    "resource": "resource_id",
}
_MOMENTS = {"failures": "occurred_at", "issues": "last_seen_at", "audit": "at"}
_ERROR = ["error_type", "error"]
_WITHIN = {
    ("runs", "text"): ["job"],
    ("issues", "text"): ["title"],
    ("issues", "error"): ["error_type", "title"],
    ("audit", "text"): ["why"],
}


def fits(chosen: Filter, row: Row) -> bool:
    """Whether a filter chooses a row."""
    said = {word.key for word in chosen.words}
    if chosen.resource == "dead_letters" and "state" not in said and row["state"] != "open":
        return False
    return all(_fits(chosen.resource, word, row) is not word.negated for word in chosen.words)


def _fits(resource: str, word: Word, row: Row) -> bool:
    if (resource, word.key) == ("runs", "text") and any(_begins(item, row["id"]) for item in word.items):
        return True
    field = FIELDS[resource][word.key]  # type: ignore[index] # a resource
    check = CHECKS[field.kind.name]
    return any(
        check(word.key, word.op, item, value) for item in word.items for value in _values(resource, word.key, row)
    )


def _values(resource: str, key: str, row: Row) -> list[Any]:
    """What a row has for a key; several where one of them is enough."""
    if key in ("text", "error"):
        return [row[name] for name in _WITHIN.get((resource, key), _ERROR)]
    if key in ("age", "since", "until", "created"):
        return [row[_MOMENTS.get(resource, "created_at")]]
    special: dict[tuple[str, str], Callable[[], list[Any]]] = {
        ("runs", "kind"): lambda: [row["error_kind"]],
        ("runs", "issue"): lambda: list(row["issues"]),
        ("runs", "duration"): lambda: [_took(row)],
        ("audit", "type"): lambda: [row["resource_type"]],
        ("audit", "team"): lambda: [row["team_id"] and str(row["team_id"])],
        ("issues", "silenced"): lambda: [bool(row["silenced_until"] and row["silenced_until"] > NOW)],
    }
    return special.get((resource, key), lambda: [row[_COLUMNS.get(key, key)]])()


def _took(row: Row) -> timedelta | None:
    end = NOW if row["state"] == "running" else row["finished_at"]
    return end - row["started_at"] if end and row["started_at"] else None


def _compare(op: str, left: Any, right: Any) -> bool:  # noqa: ANN401 - of one type, whichever
    sign = (left > right) - (left < right)
    return bool(sign == _ORDER.get(op, 0) or (sign == 0 and op in ("", ">=", "<=")))


def _begins(item: Item, run_id: object) -> bool:
    word = (item.plain or "").lower()
    return bool(re.fullmatch("[0-9a-f-]{4,}", word)) and str(run_id).startswith(word)


def _whole(_key: str, _op: str, item: Item, value: str | None) -> bool:
    if value is None:
        return item.plain == ""
    return re.fullmatch(".*".join(map(re.escape, item.parts)), value) is not None


def _within(_key: str, _op: str, item: Item, value: str | None) -> bool:
    ascii_only = re.ASCII if all(part.isascii() for part in item.parts) else re.NOFLAG
    pattern = ".*".join(map(re.escape, item.parts))
    return value is not None and re.search(pattern, value, re.IGNORECASE | ascii_only) is not None


def _choice(_key: str, _op: str, item: Item, value: str | None) -> bool:
    return value is not None and _whole("", "", item, value)


def _flag(_key: str, _op: str, item: Item, value: bool) -> bool:  # noqa: FBT001 - what the row has
    return _whole("", "", item, "yes" if value else "no")


def _number(_key: str, op: str, item: Item, value: int | None) -> bool:
    return value is not None and _compare(op, value, int(item.plain or ""))


def _id(_key: str, _op: str, item: Item, value: object) -> bool:
    return str(value).replace("-", "").startswith((item.plain or "").replace("-", ""))


def _span(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * _SECONDS[text[-1]])


def _age(_key: str, op: str, item: Item, value: datetime) -> bool:
    return _compare(op, NOW - value, _span(item.plain or ""))


def _duration(_key: str, op: str, item: Item, value: timedelta | None) -> bool:
    return value is not None and _compare(op, value, _span(item.plain or ""))


def _moment(key: str, op: str, item: Item, value: datetime | None) -> bool:
    text, op = item.plain or "", {"since": ">=", "until": "<"}.get(key, op)
    if value is None:
        return False
    if text[-1] in _SECONDS:
        return _compare(op, value, NOW - _span(text))
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    end = start if "T" in text else start + timedelta(days=1)
    if op == "":
        return start <= value < end
    # Beyond a day is after its end, and up to it means all of it.
    return (
        _compare({"<=": "<", ">": ">="}[op], value, end)
        if end > start and op in ("<=", ">")
        else _compare(op, value, start)
    )


CHECKS: dict[str, Callable[..., bool]] = {
    "text": _whole,
    "text within": _within,
    "choice": _choice,
    "yes or no": _flag,
    "number": _number,
    "id": _id,
    "age": _age,
    "duration": _duration,
    "moment": _moment,
}
