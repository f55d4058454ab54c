"""What people and models say in the made-up sessions: prose, code in fences, tool calls, results and thinking."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TEXT = (
    "the parser index build cache request latency worker queue retry branch merge schema migration token stream buffer "
    "test fixture timeout handler config deploy cluster metric trace span alert budget rollout feature client server"
)
_WORDS = _TEXT.split()
_ASIDES = ("Größe geprüft", "naïve café", "確認しました", "done ✅", "a→b", 'quoted "text"', "tab\tand\\slash")
_PYTHON = """```python
def collect(path: str) -> int:
    total = 0
    for line in open(path):
        total += len(line)
    return total
```"""
_RUST = """```rust
fn main() {
    let total: u64 = std::env::args().map(|a| a.len() as u64).sum();
    println!("{total}");
}
```"""
_SQL = "```sql\nselect job, count(*) from runs\nwhere state = 'failed'\ngroup by job order by 2 desc;\n```"
_JSON = '```json\n{"name": "atlas", "retries": 3, "nested": {"path": "C:\\\\temp\\\\x"}}\n```'
_CODE = (_PYTHON, _RUST, _SQL, _JSON)
_COMMANDS = ("ls -la src", "pytest -q tests/unit", "git diff --stat", "grep -rn 'TimeLimit' .", "cargo build --release")
_ASIDE_SHARE = 0.1
_CODE_SHARE = 0.15
_START = datetime(1970, 1, 1, tzinfo=UTC)


def _sentence(rng: random.Random, fewest: int, most: int) -> str:
    text = " ".join(rng.choices(_WORDS, k=rng.randint(fewest, most))).capitalize()
    return f"{text}, {rng.choice(_ASIDES)}." if rng.random() < _ASIDE_SHARE else f"{text}."


def _reply(rng: random.Random) -> str:
    if rng.random() < _CODE_SHARE:
        return f"{_sentence(rng, 4, 9)}\n\n{rng.choice(_CODE)}\n\n{_sentence(rng, 4, 9)}"
    return "\n\n".join(_sentence(rng, 6, 18) for _ in range(rng.randint(1, 2)))


@dataclass(frozen=True)
class Phrases:
    """Ready-made texts, each already a JSON string with its quotes: composing a line is then mere concatenation."""

    prompts: list[str]
    replies: list[str]
    thoughts: list[str]
    commands: list[str]
    outputs: list[str]


def make_phrases(seed: int, size: int = 512) -> Phrases:
    """The pool that all sessions of a seed draw from."""
    rng = random.Random(f"{seed}:phrases")  # noqa: S311 - made-up data, no secrets

    def pool(make: Callable[[], str]) -> list[str]:
        return [json.dumps(make(), ensure_ascii=False) for _ in range(size)]

    return Phrases(
        prompts=pool(lambda: _sentence(rng, 5, 20)),
        replies=pool(lambda: _reply(rng)),
        thoughts=pool(lambda: _sentence(rng, 10, 30)),
        commands=pool(lambda: rng.choice(_COMMANDS)),
        outputs=pool(lambda: "\n".join(_sentence(rng, 2, 6) for _ in range(rng.randint(1, 5)))),
    )


@dataclass
class Order:
    """One session to write: where, how long, and the source of its chance; `previous` is the session before it."""

    folder: Path
    number: int
    size: int
    project: str
    rng: random.Random
    phrases: Phrases
    start: datetime
    previous: str | None = None
    _millis: int = field(init=False)

    def __post_init__(self) -> None:
        self._millis = int(self.start.timestamp() * 1000)

    def uuid(self) -> str:
        """A version 4 UUID out of the session's own numbers."""
        digits = f"{self.rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def millis(self) -> int:
        """The next moment of the conversation, in milliseconds since 1970."""
        self._millis += self.rng.randrange(200, 20_000)
        return self._millis

    def iso(self) -> str:
        """The next moment, as the tools write it: `2026-01-01T12:00:00.250Z`."""
        seconds, millis = divmod(self.millis(), 1000)
        return f"{(_START + timedelta(seconds=seconds)).isoformat()[:19]}.{millis:03d}Z"

    def pick(self, pool: list[str]) -> str:
        """One of a pool's texts."""
        return pool[int(self.rng.random() * len(pool))]


@dataclass(frozen=True)
class Made:
    """One session written: its id and the files it takes, the one that holds its date first."""

    session_id: str
    paths: list[Path]
