from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.sessions.adapters import CodexAdapter, Source
from actors.sessions.reader import Stamp
from tests.unit.sessions.support import Pass, limits, read, write_lines

if TYPE_CHECKING:
    from pathlib import Path

SESSION = "0b7e20de-d27e-4694-a1ad-571278647e26"
OTHER = "99999999-d27e-4694-a1ad-571278647e26"
NAME = f"rollout-2026-01-05T10-00-00-{SESSION}.jsonl"
META = {
    "id": SESSION,
    "timestamp": "2026-01-05T10:00:00Z",
    "cwd": "/home/dev/atlas",
    "originator": "codex_cli_rs",
    "cli_version": "0.46.0",
    "git": {"branch": "main", "repository_url": "https://example.org/atlas.git"},
}


def line(kind: str, payload: dict[str, Any], second: int = 1) -> dict[str, Any]:
    return {"timestamp": f"2026-01-05T10:00:{second:02d}.000Z", "type": kind, "payload": payload}


def said(role: str, text: str, second: int = 1) -> dict[str, Any]:
    return line(
        "response_item", {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}, second
    )


def read_rollout(root: Path, *records: object, **changes: Any) -> Pass:  # noqa: ANN401 - any field of Limits
    write_lines(root / "sessions" / "2026" / "01" / "05" / NAME, *records)
    return read(CodexAdapter(root), **changes)


def test_a_rollout_is_a_session_with_its_folder_model_and_repository(tmp_path: Path) -> None:
    context = {"cwd": "/home/dev/atlas", "model": "gpt-5-codex"}
    seen = read_rollout(
        tmp_path, line("session_meta", META), line("turn_context", context), said("user", "hi"), said("assistant", "yo")
    )
    session = seen.session
    assert (session.session_id, session.project, session.cwd) == (SESSION, "/home/dev/atlas", "/home/dev/atlas")
    assert (session.model, session.channel) == ("gpt-5-codex", "codex_cli_rs")
    assert (session.repo_url, session.meta) == (
        "https://example.org/atlas.git",
        {"version": "0.46.0", "git_branch": "main"},
    )
    assert [(m.type, m.text, m.model) for m in seen.messages] == [
        ("user", "hi", None),
        ("assistant", "yo", "gpt-5-codex"),
    ]


@pytest.mark.parametrize(
    ("item", "kind", "full", "tool"),
    [
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            "assistant",
            "[Thinking]\nhm",
            None,
        ),
        (
            {"type": "function_call", "name": "shell", "arguments": '{"a":1}', "call_id": "c"},
            "assistant",
            '[Tool: shell]\n{"a":1}',
            "shell",
        ),
        (
            {"type": "custom_tool_call", "name": "apply_patch", "input": "***", "call_id": "c"},
            "assistant",
            "[Tool: apply_patch]\n***",
            "apply_patch",
        ),
        (
            {"type": "local_shell_call", "action": {"command": ["ls"]}, "id": "c"},
            "assistant",
            '[Tool: local_shell]\n{"command":["ls"]}',
            "local_shell",
        ),
        ({"type": "function_call_output", "call_id": "c", "output": "42"}, "tool", "[Result]\n42", None),
        (
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": '{"output":"boom","metadata":{"exit_code":1}}',
            },
            "tool",
            "[Result Error]\nboom",
            None,
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": {"content": "no", "success": False}},
            "tool",
            "[Result Error]\nno",
            None,
        ),
        (
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
            "system",
            "be brief",
            None,
        ),
    ],
    ids=["reasoning", "call", "custom call", "shell call", "output", "failed output", "failed custom", "developer"],
)
def test_each_item_is_a_message_of_its_kind(
    tmp_path: Path, item: dict[str, Any], kind: str, full: str, tool: str | None
) -> None:
    (message,) = read_rollout(tmp_path, line("response_item", item)).messages
    assert (message.type, message.full, message.tool_name) == (kind, full, tool)
    if tool or kind == "tool":
        assert message.tool_call_id == "c"


def test_a_compaction_is_a_summary(tmp_path: Path) -> None:
    (message,) = read_rollout(tmp_path, line("compacted", {"message": "so far"})).messages
    assert (message.type, message.text, message.full) == ("system", "so far", "[Summary]\nso far")


def test_events_and_encrypted_reasoning_are_skipped(tmp_path: Path) -> None:
    seen = read_rollout(
        tmp_path,
        line("event_msg", {"type": "agent_message", "message": "twice"}),
        line("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "xx"}),
        line("response_item", {"type": "ghost_snapshot"}),
    )
    assert (seen.messages, seen.count("skipped"), seen.count("rejected")) == ([], 3, 0)


def test_a_bad_item_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    seen = read_rollout(
        tmp_path,
        line("response_item", {"type": "message", "role": "user"}),
        {"timestamp": "x", "type": "response_item", "payload": None},
        said("user", "after"),
    )
    assert [message.text for message in seen.messages] == ["after"]
    assert seen.count("rejected") == 2


def test_a_fork_keeps_its_own_name_though_it_copies_its_parents_first_line(tmp_path: Path) -> None:
    parent = META | {"id": OTHER, "cwd": "/elsewhere"}
    seen = read_rollout(tmp_path, line("session_meta", META), line("session_meta", parent), said("user", "hi"))
    assert (seen.session.session_id, seen.session.cwd) == (SESSION, "/home/dev/atlas")


def test_a_rollout_of_an_early_release_has_bare_items_without_times(tmp_path: Path) -> None:
    bare = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "yes"}]}
    first_line = {"id": SESSION, "timestamp": "2025-04-20T10:00:00Z", "instructions": None}
    seen = read_rollout(tmp_path, first_line, bare, bare)
    assert [message.text for message in seen.messages] == ["yes", "yes"]
    assert len({message.uuid for message in seen.messages}) == 2
    assert seen.messages[0].timestamp == "2025-04-20T10:00:00+00:00"


def test_the_file_name_says_the_session_when_its_first_line_is_lost(tmp_path: Path) -> None:
    seen = read_rollout(tmp_path, b"torn", said("user", "hi"))
    assert (seen.session.session_id, seen.session.project) == (SESSION, "codex:unknown")


def test_a_file_of_another_name_is_its_own_session(tmp_path: Path) -> None:
    write_lines(tmp_path / "sessions/2026/01/05/odd.jsonl", said("user", "hi"))
    assert read(CodexAdapter(tmp_path)).session.session_id == "odd"


def test_what_the_first_lines_said_is_known_in_the_next_pass(tmp_path: Path) -> None:
    meta, context = line("session_meta", META), line("turn_context", {"model": "gpt-5"})
    first = read_rollout(tmp_path, meta, context, said("user", "hi"))
    records = [meta, context, said("user", "hi"), said("assistant", "yo", 2)]
    write_lines(tmp_path / "sessions/2026/01/05" / NAME, *records)
    second = read(CodexAdapter(tmp_path), first.state)
    assert [(message.text, message.model) for message in second.messages] == [("yo", "gpt-5")]
    assert second.session.session_id == SESSION


def history(session: str, second: int, text: object = "hello") -> dict[str, Any]:
    return {"session_id": session, "ts": 1767607200 + second, "text": text}


def test_the_history_is_read_only_for_sessions_without_a_rollout(tmp_path: Path) -> None:
    write_lines(tmp_path / "sessions/2026/01/05" / NAME, line("session_meta", META))
    path = write_lines(tmp_path / "history.jsonl", history(SESSION, 1), history(OTHER, 2), history(OTHER, 3, 5))
    adapter = CodexAdapter(tmp_path)
    listing = adapter.list()
    seen = read(adapter, source=listing.sources[0])
    assert [source.path.name for source in listing.sources] == [path.name, NAME]
    assert [(talk.session.session_id, len(talk.messages)) for talk in seen.conversations] == [(OTHER, 1)]
    assert seen.messages[0].timestamp == "2026-01-05T10:00:02+00:00"
    assert (seen.count("skipped"), seen.count("rejected")) == (1, 1)
    assert seen.session.channel == "history"


def test_archived_rollouts_are_listed_too(tmp_path: Path) -> None:
    write_lines(tmp_path / "archived_sessions" / NAME, line("session_meta", META), said("user", "old"))
    assert [message.text for message in read(CodexAdapter(tmp_path)).messages] == ["old"]


def test_a_history_that_cannot_be_looked_at_is_reported(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").symlink_to("history.jsonl")
    assert [path.name for path, _ in CodexAdapter(tmp_path).list().errors] == ["history.jsonl"]


def test_a_torn_line_of_a_quiet_file_is_looked_at_once_more(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sessions/2026/01/05" / NAME, said("user", "hi"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    adapter = CodexAdapter(tmp_path)
    first = read(adapter)
    stamp = Stamp.of(path.stat())
    source, later = Source(path, stamp), stamp.mtime_ns / 1e9 + 7200
    assert first.messages == []
    assert not adapter.is_unchanged(source, first.state, limits(now=later))
    second = read(adapter, first.state, now=later)
    assert [message.text for message in second.messages] == ["hi"]
    assert adapter.is_unchanged(source, second.state, limits(now=later))
