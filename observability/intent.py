"""What a worker process is about to count, so that a kill between its commit and its counting costs no unit.

A worker commits a batch of attempts, then counts them. Before the commit it writes down the values that the counters
will have after it. Should the process die in between, whoever finds its files knows what is missing, if the batch was
committed; that the ledger can tell, by any attempt of the batch:

    worker      intent_<pid>.bin    the attempt, and the value that each counter will have
    supervisor  ask_<pid>.json      the attempt: was it committed? (only if a counter is short of its value)
    a worker    answer_<pid>.json   true or false
"""

from __future__ import annotations

import json
import mmap
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Intent", "IntentFile", "answer_all", "ask", "missing", "read_answer", "read_intent"]

_LENGTH = struct.Struct("=q")
_SIZE = 256 * 1024

#: An attempt, as the ledger can find it: run id, creation time, token, number.
Attempt = tuple[str, str, int, int]


class Intent(NamedTuple):
    """The values that counters will have: `(kind of file, key in it, value)` each."""

    attempt: Attempt
    targets: Sequence[tuple[str, str, float]]


class IntentFile:
    """The place of one process; what does not fit is not kept."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_SIZE)
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def write(self, attempt: Sequence[object], targets: Sequence[tuple[str, str, float]]) -> None:
        """Say what will be counted once the batch of this attempt is committed; see `Intent`."""
        body = orjson.dumps((attempt, targets))
        if len(body) <= _SIZE - _LENGTH.size:
            self._memory[_LENGTH.size : _LENGTH.size + len(body)] = body
            self._memory[: _LENGTH.size] = _LENGTH.pack(len(body))

    def clear(self) -> None:
        """It is counted, or was not committed."""
        self._memory[: _LENGTH.size] = bytes(_LENGTH.size)


def read_intent(path: Path) -> Intent | None:
    """What a dead process was about to count; None if it was not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    (length,) = _LENGTH.unpack_from(content)
    if not length:
        return None
    attempt, targets = json.loads(content[_LENGTH.size : _LENGTH.size + length])
    return Intent(tuple(attempt), [tuple(target) for target in targets])


def missing(intent: Intent, known: Mapping[tuple[str, str], float]) -> list[tuple[str, str, float]]:
    """What the counters are short of; nothing if the process did count the batch."""
    short = [(kind, key, target - known.get((kind, key), 0.0)) for kind, key, target in intent.targets]
    return [one for one in short if one[2] > 0]


def ask(folder: Path, pid: int, attempt: Attempt) -> None:
    """Let any worker find out whether the attempt was committed."""
    _write(folder / f"ask_{pid}.json", attempt)


def read_answer(folder: Path, pid: int) -> bool | None:
    """What a worker found out; None as long as none has. Once it is known, question and answer are removed."""
    path = folder / f"answer_{pid}.json"
    try:
        kept = bool(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    (folder / f"ask_{pid}.json").unlink(missing_ok=True)
    path.unlink()
    return kept


def answer_all(folder: Path, was_committed: Callable[[Attempt], bool]) -> None:
    """Answer every open question in the folder."""
    for pid, attempt in _open_questions(folder):
        _write(folder / f"answer_{pid}.json", was_committed(attempt))


def _open_questions(folder: Path) -> Iterator[tuple[str, Attempt]]:
    for path in folder.glob("ask_*.json"):
        pid = path.stem.removeprefix("ask_")
        if not (folder / f"answer_{pid}.json").exists():
            try:
                yield pid, tuple(json.loads(path.read_bytes()))
            except FileNotFoundError:  # another worker was faster
                continue


def _write(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that is JSON
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value))
    draft.replace(path)
