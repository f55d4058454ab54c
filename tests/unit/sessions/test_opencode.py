from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from actors.sessions.adapters import OpenCodeAdapter
from tests.unit.sessions.support import limits, only_source, read, write_json

if TYPE_CHECKING:
    from pathlib import Path

SESSION = {"id": "ses_1", "projectID": "p", "directory": "/home/dev/atlas", "title": "Fix", "version": "0.15"}


def write_session(root: Path, **changes: object) -> Path:
    return write_json(root / "session" / "p" / "ses_1.json", SESSION | changes)


def write_message(root: Path, number: int, role: str, *parts: dict[str, Any], **more: object) -> Path:
    name = f"msg_{number:03d}"
    for index, part in enumerate(parts):
        write_json(root / "part" / name / f"prt_{number:03d}{index}.json", part)
    record = {"id": name, "role": role, "time": {"created": 1767607200000 + number * 1000}} | more
    return write_json(root / "message" / "ses_1" / f"{name}.json", record)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_a_session_is_gathered_from_its_three_folders(tmp_path: Path) -> None:
    write_session(tmp_path, parentID="ses_0")
    write_message(tmp_path, 2, "assistant", text("yo"), modelID="claude-sonnet-4-5")
    write_message(tmp_path, 1, "user", text("hi"))
    seen = read(OpenCodeAdapter(tmp_path))
    session = seen.session
    assert (session.session_id, session.project, session.cwd) == ("ses_1", "/home/dev/atlas", "/home/dev/atlas")
    assert (session.parent, session.model) == ("ses_0", "claude-sonnet-4-5")
    assert session.meta == {"title": "Fix", "version": "0.15"}
    assert [(m.type, m.text) for m in seen.messages] == [("user", "hi"), ("assistant", "yo")]
    assert seen.messages[0].timestamp == "2026-01-05T10:00:01+00:00"
    assert seen.conversations[0].revisable


def test_thoughts_tools_and_files_are_in_the_full_content_only(tmp_path: Path) -> None:
    write_session(tmp_path)
    done = {"status": "completed", "input": {"command": "ls"}, "output": "a.py"}
    failed = {"status": "error", "input": {}, "error": "denied"}
    write_message(
        tmp_path,
        1,
        "assistant",
        {"type": "step-start"},
        {"type": "reasoning", "text": "hm"},
        text("I look."),
        {"type": "tool", "tool": "bash", "callID": "c1", "state": done},
        {"type": "tool", "tool": "edit", "callID": "c2", "state": failed},
        {"type": "tool", "tool": "wait", "callID": "c3", "state": {"status": "running", "input": {}}},
        {"type": "file", "filename": "a.png"},
    )
    (seen,) = read(OpenCodeAdapter(tmp_path)).messages
    assert seen.text == "I look."
    assert seen.full == (
        '[Thinking]\nhm\n\nI look.\n\n[Tool: bash]\n{"command":"ls"}\n\n[Result]\na.py\n\n'
        "[Tool: edit]\n{}\n\n[Result Error]\ndenied\n\n[Tool: wait]\n{}\n\n[File: a.png]"
    )
    assert (seen.tool_name, seen.tool_call_id) == ("bash", "c1")


def test_a_message_whose_parts_are_still_to_come_is_left_for_later(tmp_path: Path) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user")
    assert read(OpenCodeAdapter(tmp_path)).messages == []
    write_message(tmp_path, 1, "user", text("hi"))
    assert len(read(OpenCodeAdapter(tmp_path)).messages) == 1


def test_an_aborted_answer_keeps_its_error(tmp_path: Path) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "assistant", error={"name": "Aborted"})
    (seen,) = read(OpenCodeAdapter(tmp_path)).messages
    assert seen.full == '[Result Error]\n{"name":"Aborted"}'


def test_one_bad_file_of_the_family_costs_no_other(tmp_path: Path) -> None:
    write_session(tmp_path).write_text("{torn")
    write_message(tmp_path, 1, "user", text("before"))
    write_message(tmp_path, 2, "user").write_text("[]")
    write_message(tmp_path, 3, "user", text("half"), {"type": "text"})
    write_message(tmp_path, 4, "assistant", text("seen"), text("lost"))
    (tmp_path / "part/msg_004/prt_0041.json").write_bytes(b"\xff")
    seen = read(OpenCodeAdapter(tmp_path))
    assert [m.text for m in seen.messages] == ["before", "seen"]
    assert seen.count("rejected") == 4
    assert (seen.session.session_id, seen.session.project) == ("ses_1", "opencode:p")


def test_a_document_too_long_is_passed_over(tmp_path: Path) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user", text("x" * 5000))
    write_message(tmp_path, 2, "user", text("short"))
    seen = read(OpenCodeAdapter(tmp_path), max_document=4096)
    assert [m.text for m in seen.messages] == ["short"]
    assert seen.count("oversized") == 1


def test_a_long_session_comes_in_slices_and_only_the_last_is_done(tmp_path: Path) -> None:
    write_session(tmp_path)
    for number in range(5):
        write_message(tmp_path, number, "user", text(str(number)))
    adapter = OpenCodeAdapter(tmp_path)
    seen = read(adapter, slice_messages=2)
    source = only_source(adapter)
    assert [part.messages for part in seen.slices] == [2, 2, 1]
    assert [part.state.stamp == source.stamp for part in seen.slices] == [False, False, True]


def test_a_session_is_left_alone_while_none_of_its_files_changes(tmp_path: Path) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user", text("hi"))
    adapter = OpenCodeAdapter(tmp_path)
    state, source = read(adapter).state, only_source(adapter)
    assert not adapter.is_unchanged(source, None, limits())
    assert adapter.is_unchanged(source, state, limits())


@pytest.mark.parametrize("place", ["part/msg_001/prt_0010.json", "message/ses_1/msg_001.json"])
def test_a_file_rewritten_in_place_is_a_change_within_the_overlap(tmp_path: Path, place: str) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user", text("hi"))
    adapter = OpenCodeAdapter(tmp_path)
    state, source = read(adapter).state, only_source(adapter)
    later = (tmp_path / place).stat().st_mtime + 10
    os.utime(tmp_path / place, (later, later))
    assert not adapter.is_unchanged(source, state, limits(now=later))
    assert adapter.is_unchanged(source, state, limits(now=later + 3600))


def test_a_part_written_later_keeps_the_session_under_watch(tmp_path: Path) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user", text("hi"))
    part = tmp_path / "part/msg_001/prt_0010.json"
    later = part.stat().st_mtime + 5000
    os.utime(part, (later, later))
    adapter = OpenCodeAdapter(tmp_path)
    state, source = read(adapter).state, only_source(adapter)
    os.utime(part, (later + 5, later + 5))
    assert not adapter.is_unchanged(source, state, limits(now=later + 10))


@pytest.mark.parametrize("place", ["session/p/ses_1.json", "message/ses_1"])
def test_a_change_of_the_sessions_file_or_folder_is_a_change(tmp_path: Path, place: str) -> None:
    write_session(tmp_path)
    write_message(tmp_path, 1, "user", text("hi"))
    adapter = OpenCodeAdapter(tmp_path)
    state = read(adapter).state
    later = (tmp_path / place).stat().st_mtime + 10
    os.utime(tmp_path / place, (later, later))
    assert not adapter.is_unchanged(only_source(adapter), state, limits(now=later + 9999))


def test_a_session_without_messages_is_still_one(tmp_path: Path) -> None:
    write_session(tmp_path)
    seen = read(OpenCodeAdapter(tmp_path))
    assert (seen.session.meta["title"], seen.messages) == ("Fix", [])


def test_a_folder_of_messages_that_cannot_be_listed_is_counted(tmp_path: Path) -> None:
    write_session(tmp_path)
    (tmp_path / "message").mkdir()
    (tmp_path / "message/ses_1").symlink_to("ses_1")
    assert read(OpenCodeAdapter(tmp_path)).count("rejected") == 1
