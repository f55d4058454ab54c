"""However the appends to a file fall into passes, its messages and its session come out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.sessions.adapters import ClaudeAdapter, CodexAdapter
from sandbox.session_files import Plan, folders, write_sessions
from tests.unit.sessions.support import Pass, read

if TYPE_CHECKING:
    from pathlib import Path

    from actors.sessions.adapters import Adapter, Message, Session

FILES = [
    ("claude", 0, "*.jsonl", 12),
    ("claude", 9, "agent-*.jsonl", 12),
    ("codex", 0, "rollout-*.jsonl", 12),
    ("codex", 3, "history.jsonl", 12 + 3),  # without their rollouts, the others' prompts count too
]


def one_file(root: Path, tool: str, number: int, pattern: str) -> Path:
    """A folder of the tool with just the file of the session of that number."""
    write_sessions(root, Plan(sessions=number + 1, messages=(number + 1) * 12, mix={tool: 1}))
    newest = max(folders(root)[tool].rglob(pattern))
    for path in folders(root)[tool].rglob("*.jsonl"):
        if path != newest:
            path.unlink()
    return newest


def outcome(passes: list[Pass]) -> tuple[list[Message], list[Session]]:
    """All messages, and each session as the last pass that saw it described it."""
    sessions = {talk.session.session_id: talk.session for seen in passes for talk in seen.conversations}
    continues = {talk.session.session_id: set[str]() for seen in passes for talk in seen.conversations}
    for seen in passes:
        for talk in seen.conversations:
            continues[talk.session.session_id] |= talk.session.continues
    for session in sessions.values():
        session.continues = continues[session.session_id]
    return [message for seen in passes for message in seen.messages], list(sessions.values())


@pytest.mark.parametrize(
    ("tool", "number", "pattern", "messages"), FILES, ids=["session", "subagent", "rollout", "history"]
)
def test_any_split_of_appends_into_passes_gives_the_same(
    tmp_path: Path, tool: str, number: int, pattern: str, messages: int
) -> None:
    path = one_file(tmp_path, tool, number, pattern)
    content = path.read_bytes()
    adapter: Adapter = {"claude": ClaudeAdapter, "codex": CodexAdapter}[tool](folders(tmp_path)[tool])
    whole = outcome([read(adapter)])
    assert len(whole[0]) == messages

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.integers(0, len(content)), max_size=5), st.integers(1, 20))
    def check(cuts: list[int], slice_messages: int) -> None:
        state, passes = None, []
        for cut in [*sorted(cuts), len(content)]:
            path.write_bytes(content[:cut])
            passes.append(read(adapter, state, slice_messages=slice_messages))
            state = passes[-1].state
        assert outcome(passes) == whole

    check()
