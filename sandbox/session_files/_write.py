"""The folders of all four tools, filled."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.session_files import _claude, _codex
from sandbox.session_files._content import Made, Order, Phrases, make_phrases
from sandbox.session_files._documents import write_gemini, write_opencode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
#: Parts of the sessions that each tool gets. OpenCode writes about two files a message, so it gets few.
DEFAULT_MIX: Mapping[str, int] = {"claude": 70, "codex": 20, "gemini": 8, "opencode": 2}
_WRITERS: Mapping[str, Callable[[Order], Made]] = {
    "claude": _claude.write,
    "codex": _codex.write,
    "gemini": write_gemini,
    "opencode": write_opencode,
}
_PROJECTS = tuple(f"/home/dev/projects/{name}" for name in ("atlas", "beacon", "cinder", "delta-ui", "ember", "fjord"))


@dataclass(frozen=True)
class Plan:
    """What to write: the same plan writes the same bytes.

    Attributes:
        sessions: Sessions over all tools.
        messages: Messages over all sessions, shared out evenly.
        seed: Another seed, other texts and ids.
        mix: Parts of the sessions by tool, e.g. `{"claude": 3, "codex": 1}`.
        newest: Date of the newest session.
        days: How far back the oldest session goes; with more than 0, files get the dates of their sessions as mtimes.

    Raises:
        ValueError: A tool is unknown, or there are more sessions than messages.
    """

    sessions: int
    messages: int
    seed: int = 0
    mix: Mapping[str, int] = field(default_factory=lambda: DEFAULT_MIX)
    newest: datetime = EPOCH
    days: float = 0.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.mix) - set(_WRITERS))
        if unknown or sum(self.mix.values()) <= 0:
            raise ValueError(f"mix={dict(self.mix)}: give parts to any of {', '.join(_WRITERS)}; unknown: {unknown}")
        if not 0 < self.sessions <= self.messages:
            raise ValueError(f"sessions={self.sessions}, messages={self.messages}: a session needs a message or more")


@dataclass
class Written:
    """What was written: sessions and messages by tool; a message is what a collector should find once."""

    sessions: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)


def folders(root: Path) -> dict[str, Path]:
    """Where each tool's files are below `root`."""
    return {
        "claude": root / "claude" / "projects",
        "codex": root / "codex",
        "gemini": root / "gemini" / "tmp",
        "opencode": root / "opencode" / "storage",
    }


def environment(root: Path) -> dict[str, str]:
    """The variables that make the sessions catalogue read the folders below `root`."""
    return {f"CALLBOARD_SESSIONS_{tool.upper()}_DIR": str(path) for tool, path in folders(root).items()}


def write_sessions(root: Path, plan: Plan) -> Written:
    """Fill the folders below `root` by plan; files already there stay, and Codex's history grows."""
    written, phrases = Written(), make_phrases(plan.seed)
    previous: dict[tuple[str, str], str] = {}
    for tool, order in _orders(root, plan, phrases):
        order.previous = previous.get((tool, order.project))
        made = _WRITERS[tool](order)
        previous[tool, order.project] = made.session_id
        written.sessions[tool] += 1
        written.messages[tool] += order.size
        if plan.days:
            _date(made.paths, order.start)
    return written


def _orders(root: Path, plan: Plan, phrases: Phrases) -> Iterator[tuple[str, Order]]:
    size, longer = divmod(plan.messages, plan.sessions)
    numbers: Counter[str] = Counter()
    places = folders(root)
    for index, tool in enumerate(_tools(plan)):
        number = numbers[tool]
        numbers[tool] += 1
        age = timedelta(days=plan.days * (1 - (index + 1) / plan.sessions))
        yield (
            tool,
            Order(
                folder=places[tool],
                number=number,
                size=size + (index < longer),
                project=_PROJECTS[number // 10 % len(_PROJECTS)],
                rng=random.Random(f"{plan.seed}:{tool}:{number}"),  # noqa: S311 - made-up data, no secrets
                phrases=phrases,
                start=plan.newest - age,
            ),
        )


def _tools(plan: Plan) -> Iterator[str]:
    """Each tool once, then always the one that is furthest behind its share."""
    given: Counter[str] = Counter()
    for index in range(plan.sessions):
        behind = {
            tool: weight * (index + 1) - given[tool] * sum(plan.mix.values()) for tool, weight in plan.mix.items()
        }
        new = [tool for tool, weight in plan.mix.items() if weight and not given[tool]]
        tool = new[0] if new else max(behind, key=behind.__getitem__)
        given[tool] += 1
        yield tool


def _date(paths: list[Path], moment: datetime) -> None:
    for path in paths:
        os.utime(path, (moment.timestamp(), moment.timestamp()))
