from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.sessions.adapters import GeminiAdapter
from tests.unit.sessions.support import Pass, limits, only_source, read, write_json

if TYPE_CHECKING:
    from pathlib import Path

UUIDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(10)]


def message(kind: str, content: object, number: int = 0, **more: object) -> dict[str, Any]:
    head = {"id": UUIDS[number], "timestamp": f"2026-01-05T10:00:{number:02d}.000Z"}
    return head | {"type": kind, "content": content} | more


def read_chat(root: Path, *messages: object, **changes: Any) -> Pass:  # noqa: ANN401 - any field of Limits
    document = {"sessionId": "s1", "projectHash": "abc", "messages": list(messages)}
    write_json(root / "abc" / "chats" / "session-1.json", document)
    return read(GeminiAdapter(root), **changes)


def test_a_chat_is_a_session_of_the_project_known_by_its_hash(tmp_path: Path) -> None:
    answer = message("gemini", "yo", 1, model="gemini-2.5-pro")
    seen = read_chat(tmp_path, message("user", "hi"), answer)
    assert (seen.session.session_id, seen.session.project, seen.session.folder) == ("s1", "gemini:abc", "abc")
    assert [(m.uuid, m.type, m.text, m.model) for m in seen.messages] == [
        (UUIDS[0], "user", "hi", None),
        (UUIDS[1], "assistant", "yo", "gemini-2.5-pro"),
    ]
    assert seen.session.model == "gemini-2.5-pro"
    assert seen.conversations[0].revisable


def test_thoughts_and_tools_are_in_the_full_content_only(tmp_path: Path) -> None:
    thought = {"subject": "Plan", "description": "look"}
    calls = [
        {"id": "c1", "name": "read_file", "args": {"path": "a"}, "status": "success", "resultDisplay": "42"},
        {"id": "c2", "name": "ls", "args": {}, "status": "error", "result": [{"error": "no"}]},
        {"id": "c3", "name": "wait", "args": {}, "status": "executing"},
    ]
    (seen,) = read_chat(tmp_path, message("gemini", "I look.", thoughts=[thought], toolCalls=calls)).messages
    assert seen.text == "I look."
    assert seen.full == (
        '[Thinking]\nPlan: look\n\nI look.\n\n[Tool: read_file]\n{"path":"a"}\n\n[Result]\n42\n\n'
        '[Tool: ls]\n{}\n\n[Result Error]\n[{"error":"no"}]\n\n[Tool: wait]\n{}'
    )
    assert (seen.tool_name, seen.tool_call_id) == ("read_file", "c1")


@pytest.mark.parametrize(
    "content", ["a\n\nb", [{"text": "a"}, {"text": "b"}], ["a", {"text": "b"}, {"inlineData": {}}], {"text": "a\n\nb"}]
)
def test_content_may_be_text_or_parts(tmp_path: Path, content: object) -> None:
    assert read_chat(tmp_path, message("user", content)).messages[0].text == "a\n\nb"


def test_other_kinds_are_skipped_and_bad_messages_counted(tmp_path: Path) -> None:
    seen = read_chat(tmp_path, message("info", "update"), {"id": "x"}, "text", message("user", "after"))
    assert [m.text for m in seen.messages] == ["after"]
    assert (seen.count("skipped"), seen.count("rejected")) == (1, 2)
    assert seen.slices[0].complaint.startswith("message x:")


def test_an_id_that_is_no_uuid_is_its_sessions_own(tmp_path: Path) -> None:
    uuids = set()
    for session in ("s1", "s2"):
        path = write_json(
            tmp_path / session / "abc/chats/session-1.json",
            {"sessionId": session, "messages": [message("user", "hi", id="1")]},
        )
        (seen,) = read(GeminiAdapter(path.parents[2])).messages
        uuids.add(seen.uuid)
    assert len(uuids) == 2


def test_a_document_cut_short_is_rejected_and_tried_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "abc/chats/session-1.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"sessionId": "s1", "mess')
    adapter = GeminiAdapter(tmp_path)
    torn = read(adapter)
    assert (torn.count("rejected"), torn.messages) == (1, [])
    assert adapter.is_unchanged(only_source(adapter), torn.state, limits())
    whole = read_chat(tmp_path, message("user", "hi"))
    assert not adapter.is_unchanged(only_source(adapter), torn.state, limits())
    assert len(whole.messages) == 1


def test_a_document_too_long_is_passed_over(tmp_path: Path) -> None:
    seen = read_chat(tmp_path, message("user", "x" * 5000), max_document=4096)
    assert (seen.count("oversized"), seen.count("rejected"), seen.conversations) == (1, 0, [])
    assert "longer than 4096 bytes" in seen.slices[0].complaint


def test_a_document_without_a_session_id_is_named_after_its_file(tmp_path: Path) -> None:
    write_json(tmp_path / "abc/chats/session-9.json", {"messages": [message("user", "[continuation_from: s1-before]")]})
    seen = read(GeminiAdapter(tmp_path))
    assert (seen.session.session_id, seen.session.continues) == ("session-9", {"s1-before"})


def test_a_long_chat_comes_in_slices_and_only_the_last_is_done(tmp_path: Path) -> None:
    seen = read_chat(tmp_path, *(message("user", str(number), number) for number in range(5)), slice_messages=2)
    stamp = only_source(GeminiAdapter(tmp_path)).stamp
    assert [m.text for m in seen.messages] == ["0", "1", "2", "3", "4"]
    assert [part.messages for part in seen.slices] == [2, 2, 1, 0]
    assert [part.state.stamp == stamp for part in seen.slices] == [False, False, False, True]


def test_only_chats_are_listed(tmp_path: Path) -> None:
    write_json(tmp_path / "abc/chats/notes.json", {})
    write_json(tmp_path / "abc/logs.json", [])
    assert GeminiAdapter(tmp_path).list().sources == []
