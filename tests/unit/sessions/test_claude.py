from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.sessions.adapters import ClaudeAdapter
from actors.sessions.adapters.claude import project_path
from tests.unit.sessions.support import Pass, read, write_lines

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "-home-dev-my-app"
SESSION = "0b7e20de-d27e-4694-a1ad-571278647e26"
UUIDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(10)]


def line(kind: str, content: Any, number: int = 0, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {
        "type": kind,
        "uuid": UUIDS[number],
        "sessionId": SESSION,
        "cwd": "/home/dev/my-app",
        "version": "2.0.14",
        "gitBranch": "main",
        "timestamp": "2026-01-05T10:00:00.123Z",
        "message": {"role": kind, "content": content},
    } | more


def read_lines(root: Path, *records: object, **changes: Any) -> Pass:  # noqa: ANN401 - any field of Limits
    write_lines(root / FOLDER / f"{SESSION}.jsonl", *records)
    return read(ClaudeAdapter(root), **changes)


def test_a_prompt_becomes_a_user_message_of_its_session(tmp_path: Path) -> None:
    seen = read_lines(tmp_path, line("user", "hello"))
    (message,) = seen.messages
    assert (message.uuid, message.type, message.text, message.full) == (UUIDS[0], "user", "hello", "hello")
    assert message.timestamp == "2026-01-05T10:00:00.123000+00:00"
    assert (seen.session.session_id, seen.session.source, seen.session.parent) == (SESSION, "claude", None)
    assert (seen.session.project, seen.session.cwd, seen.session.folder) == (*["/home/dev/my-app"] * 2, FOLDER)
    assert seen.session.meta == {"version": "2.0.14", "git_branch": "main"}


def test_an_answer_keeps_text_apart_from_thoughts_and_tools(tmp_path: Path) -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
        {"type": "text", "text": "Done."},
    ]
    answer = line("assistant", blocks)
    answer["message"]["model"] = "claude-opus-4-1"
    seen = read_lines(tmp_path, answer)
    (message,) = seen.messages
    assert message.text == "I look.\n\nDone."
    assert message.full == '[Thinking]\nhm\n\nI look.\n\n[Tool: Bash]\n{"command":"ls"}\n\nDone.'
    assert (message.tool_name, message.tool_call_id, message.model) == ("Bash", "toolu_1", "claude-opus-4-1")
    assert seen.session.model == "claude-opus-4-1"


@pytest.mark.parametrize(
    ("block", "full"),
    [
        ({"content": "42"}, "[Result]\n42"),
        ({"content": "no such file", "is_error": True}, "[Result Error]\nno such file"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image", "source": {}}]}, "[Result]\na\n\n[Image]"),
        ({}, "[Result]\n"),
    ],
    ids=["text", "error", "blocks", "nothing"],
)
def test_a_tools_answer_is_a_tool_message(tmp_path: Path, block: dict[str, Any], full: str) -> None:
    (message,) = read_lines(
        tmp_path, line("user", [{"type": "tool_result", "tool_use_id": "toolu_1"} | block])
    ).messages
    assert (message.type, message.text, message.full, message.tool_call_id) == ("tool", "", full, "toolu_1")


def test_words_beside_a_tools_answer_make_it_a_user_message(tmp_path: Path) -> None:
    blocks = [{"type": "tool_result", "tool_use_id": "t", "content": "1"}, {"type": "text", "text": "stop"}]
    (message,) = read_lines(tmp_path, line("user", blocks)).messages
    assert (message.type, message.text) == ("user", "stop")


def test_notes_of_the_tool_and_summaries_are_system_messages(tmp_path: Path) -> None:
    note = line("system", None) | {"content": "Conversation compacted"}
    seen = read_lines(tmp_path, note, {"type": "summary", "summary": "Fix the parser", "leafUuid": UUIDS[1]})
    assert [(message.type, message.full) for message in seen.messages] == [
        ("system", "Conversation compacted"),
        ("system", "[Summary]\nFix the parser"),
    ]
    assert seen.session.meta["title"] == "Fix the parser"


def test_lines_that_are_no_messages_are_skipped(tmp_path: Path) -> None:
    kinds = ["file-history-snapshot", "progress", "queue-operation", "kind-of-next-year"]
    seen = read_lines(tmp_path, *({"type": kind} for kind in kinds), {"no": "type"})
    assert (seen.messages, seen.count("skipped"), seen.count("rejected")) == ([], 5, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"not json",
        b'{"type":"user","message":{"content":"\xff"}}',
        b"[1]",
        b'{"type":"user"}',
        b'{"type":"user","message":{"content":[{"type":"text"}]}}',
        b'{"type":"assistant","message":{"content":[{"type":"text","text":5}]}}',
        b'{"type":["user"]}',
        b"[" * 5000 + b'"\\u0041"' + b"]" * 5000,
    ],
    ids=["no JSON", "no UTF-8", "no object", "no message", "no text", "no string", "no type", "too deep"],
)
def test_a_bad_line_is_counted_and_the_rest_goes_on(tmp_path: Path, bad: bytes) -> None:
    seen = read_lines(tmp_path, line("user", "before"), bad, line("user", "after", 1))
    assert [message.text for message in seen.messages] == ["before", "after"]
    assert seen.count("rejected") == 1
    assert seen.slices[0].complaint.startswith("line that ends at byte ")


def test_half_a_surrogate_pair_costs_one_sign_not_the_line(tmp_path: Path) -> None:
    raw = b'{"type":"user","uuid":"%s","message":{"content":"cut \\ud83d"}}' % UUIDS[0].encode()
    (message,) = read_lines(tmp_path, raw).messages
    assert message.text == "cut ?"


def test_lines_without_a_uuid_are_told_apart_and_known_again(tmp_path: Path) -> None:
    streamed = [line("assistant", [{"type": "text", "text": text}], uuid=None) for text in ("one", "two")]
    for record in streamed:
        record["message"]["id"] = "msg_1"  # shared by all lines of one answer
    first, second = (read_lines(tmp_path, *streamed).messages for _ in range(2))
    assert len({message.uuid for message in first}) == 2
    assert [message.uuid for message in first] == [message.uuid for message in second]


def test_a_synthetic_model_is_no_model(tmp_path: Path) -> None:
    answer = line("assistant", "API Error")
    answer["message"]["model"] = "<synthetic>"
    assert read_lines(tmp_path, answer).messages[0].model is None


def test_a_continuation_mark_names_the_earlier_session(tmp_path: Path) -> None:
    seen = read_lines(tmp_path, line("user", f"[continuation_from: {SESSION}] go on"))
    assert seen.session.continues == {SESSION}


@pytest.mark.parametrize("place", [f"agent-{'a' * 8}.jsonl", f"{SESSION}/subagents/agent-{'a' * 8}.jsonl"])
def test_a_subagent_is_a_session_below_its_parent(tmp_path: Path, place: str) -> None:
    write_lines(tmp_path / FOLDER / place, line("user", "hi", isSidechain=True, agentId="a" * 8))
    seen = read(ClaudeAdapter(tmp_path))
    assert seen.session.session_id == f"{SESSION}/agent-aaaaaaaa"
    assert seen.session.parent == SESSION
    assert seen.session.meta["agent_id"] == "aaaaaaaa"


def test_what_the_first_lines_said_is_known_in_the_next_pass(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / "agent-b.jsonl"
    first = read_lines_of_agent(tmp_path, path, line("user", "one"))
    with path.open("ab") as file:
        file.write(b'{"type":"user","uuid":"%s","message":{"content":"two"}}\n' % UUIDS[1].encode())
    second = read(ClaudeAdapter(tmp_path), first.state)
    assert [message.text for message in second.messages] == ["two"]
    assert (second.session.session_id, second.session.parent) == (f"{SESSION}/agent-b", SESSION)
    assert second.session.cwd == "/home/dev/my-app"


def read_lines_of_agent(root: Path, path: Path, *records: object) -> Pass:
    write_lines(path, *records)
    return read(ClaudeAdapter(root))


def test_a_long_file_comes_in_slices_that_each_say_where_they_end(tmp_path: Path) -> None:
    whole = read_lines(tmp_path, *(line("user", str(number), number) for number in range(10)), slice_messages=4)
    assert [part.messages for part in whole.slices] == [4, 4, 2]
    rest = read(ClaudeAdapter(tmp_path), whole.slices[0].state)
    assert [message.text for message in rest.messages] == [str(number) for number in range(4, 10)]


def test_slices_are_bounded_in_bytes_too(tmp_path: Path) -> None:
    seen = read_lines(tmp_path, *(line("user", "x" * 1000, number) for number in range(4)), slice_bytes=1000)
    assert [part.messages for part in seen.slices] == [1, 1, 1, 1, 0]


def test_oversized_lines_are_counted_in_the_slice_they_end_in(tmp_path: Path) -> None:
    seen = read_lines(tmp_path, line("user", "x" * 5000), line("user", "short", 1), max_line=4096)
    assert [message.text for message in seen.messages] == ["short"]
    assert seen.count("oversized") == 1


@pytest.mark.parametrize(
    ("cwd", "folder", "project"),
    [
        ("/home/dev/my-app", FOLDER, "/home/dev/my-app"),
        ("/home/dev/my-app/src/deep", FOLDER, "/home/dev/my-app"),
        ("/elsewhere", FOLDER, "/elsewhere"),
        (None, FOLDER, "/home/dev/my/app"),
        (None, "", "claude:unknown"),
    ],
    ids=["the folder itself", "below it", "moved away", "no cwd", "nothing at all"],
)
def test_the_project_is_the_folder_that_the_name_encodes(cwd: str | None, folder: str, project: str) -> None:
    assert project_path(cwd, folder) == project


def test_a_folder_that_is_not_there_is_an_empty_listing(tmp_path: Path) -> None:
    listing = ClaudeAdapter(tmp_path / "none").list()
    assert (listing.sources, listing.errors, listing.missing) == ([], [], True)


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_is_listed(tmp_path: Path) -> None:
    write_lines(tmp_path / FOLDER / "a.jsonl", line("user", "x"))
    (tmp_path / FOLDER / "notes.txt").write_text("not ours")
    (tmp_path / "stray-file").write_text("no folder")
    (tmp_path / "loop").symlink_to("loop")
    listing = ClaudeAdapter(tmp_path).list()
    assert [source.path.name for source in listing.sources] == ["a.jsonl"]
    assert [path.name for path, _ in listing.errors] == ["loop"]


def test_a_file_name_that_is_not_utf8_has_a_key_that_postgres_can_hold(tmp_path: Path) -> None:
    folder = bytes(tmp_path / FOLDER) + b"/\xff.jsonl"
    write_lines(tmp_path / FOLDER / "a.jsonl", line("user", "x")).rename(folder.decode("utf-8", "surrogateescape"))
    seen = read(ClaudeAdapter(tmp_path))
    assert seen.slices[0].source.key.endswith("\\udcff.jsonl")
    assert seen.messages[0].text == "x"
