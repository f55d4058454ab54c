from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from actors.sessions.collect import collect_all
from actors.sessions.settings import get_sessions_settings
from callboard import Run, get_settings, transaction
from callboard.ledger import database
from callboard.run import enter_run
from sandbox.session_files import Plan, claude_line, folders, shrink, write_bad_files, write_sessions

if TYPE_CHECKING:
    from pathlib import Path

SESSION = "0b7e20de-0000-4000-a000-000000000001"
OTHER = "0b7e20de-0000-4000-a000-000000000002"


def collect() -> dict[str, int]:
    """Run the job; what it counted, zeros left out."""
    run = Run(job="collect_all")
    enter_run(run)
    try:
        collect_all()
    finally:
        enter_run(None)
    return {name: count for name, count in run.counts.items() if count}


def query(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any SQL value
    with transaction() as connection:
        result = connection.execute(text(statement), parameters)
        return [tuple(row) for row in result] if result.returns_rows else []


def stored() -> int:
    return int(query("select count(*) from sessions.messages")[0][0])


def texts(session: str = SESSION) -> list[str]:
    """What was said in a session, in its order; the sequence must be without gaps."""
    rows = query(
        "select m.sequence, m.content_text from sessions.messages m join sessions.sessions s on s.id = m.session_id "
        "where s.session_id = :session order by m.sequence",
        session=session,
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return [row[1] for row in rows]


def session_file(home: Path, session: str = SESSION, folder: str = "-home-dev-projects-broken") -> Path:
    path = folders(home)["claude"] / folder / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def said(number: int, words: str = "", session: str = SESSION) -> bytes:
    return claude_line(session, number, words or str(number))


def test_sessions_of_all_tools_are_collected_once(sessions_home: Path) -> None:
    written = write_sessions(sessions_home, Plan(sessions=40, messages=1207))
    first, second = collect(), collect()
    assert first["messages_inserted"] == stored() == written.messages.total()
    assert first["projects_scanned"] >= len(written.sessions)
    assert "messages_inserted" not in second
    by_source = dict(query("select source, count(*) from sessions.messages group by 1"))
    assert by_source == dict(written.messages)
    sessions = dict(query("select source, count(*) from sessions.sessions group by 1"))
    assert sessions == dict(written.sessions)


def test_each_session_knows_its_messages(sessions_home: Path) -> None:
    write_sessions(sessions_home, Plan(sessions=20, messages=400))
    collect()
    wrong = query(
        "select s.session_id from sessions.sessions s left join sessions.messages m on m.session_id = s.id "
        "group by s.id having s.message_count <> count(m.id) or s.last_message_at <> max(m.timestamp) "
        "or max(m.sequence) <> count(m.id)"
    )
    assert wrong == []
    assert query("select count(*) from sessions.sessions where project_id is null or last_message_at is null") == [(0,)]


def test_what_is_appended_comes_in_with_the_next_pass(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    for number in range(3):
        append(path, said(number))
        assert collect() == {"projects_scanned": 1, "sessions_scanned": 1, "messages_inserted": 1}
    assert texts() == ["0", "1", "2"]


def test_a_torn_line_comes_in_once_it_is_whole(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    line = said(1)
    append(path, said(0))
    with path.open("ab") as file:
        file.write(line[:50])
    collect()
    assert texts() == ["0"]
    append(path, line[50:])
    assert collect() == {"projects_scanned": 1, "sessions_scanned": 1, "messages_inserted": 1}
    assert texts() == ["0", "1"]


def test_bad_input_is_counted_and_everything_else_goes_in(sessions_home: Path) -> None:
    written = write_sessions(sessions_home, Plan(sessions=8, messages=80))
    bad = write_bad_files(sessions_home)
    counts = collect()
    assert counts["messages_inserted"] == written.messages.total() + bad.messages == stored()
    assert counts["oversized"] == 1
    assert counts["lines_rejected"] == 1 + 3 + 1  # bad UTF-8; NULs, no JSON, a list; half a document
    assert "errors" not in counts
    assert collect().keys() <= {"projects_scanned", "sessions_scanned"}


def test_nul_and_other_odd_signs_are_stored_as_they_are(sessions_home: Path) -> None:
    odd = "a\\b\tc\nd\re\x00f\u2028g\U0001f600\\N\\.\x07\x85é"
    append(session_file(sessions_home), said(0, odd), said(1, "\\."))
    collect()
    assert texts() == [odd.replace("\x00", "\ufffd"), "\\."]
    (raw,) = query("select raw from sessions.messages where sequence = 1")[0]
    assert json.loads(raw)["message"]["content"] == odd


def test_a_gigabyte_of_one_line_is_passed_over(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    append(path, said(0))
    with path.open("ab") as file:
        file.truncate(1 << 30)  # a hole: no disk is used
    append(path, b"", said(1))
    assert collect()["oversized"] == 1
    assert texts() == ["0", "1"]


def test_a_file_that_shrank_and_grew_again_doubles_and_loses_nothing(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    append(path, said(0), said(1), said(2))
    collect()
    shrink(path, len(said(0)) + 1)
    append(path, said(3))
    assert collect() == {
        "projects_scanned": 1,
        "sessions_scanned": 1,
        "files_restarted": 1,
        "duplicates": 1,
        "messages_inserted": 1,
    }
    assert texts() == ["0", "1", "2", "3"]


def test_a_message_older_than_all_that_is_known_is_not_lost(sessions_home: Path) -> None:
    append(session_file(sessions_home), said(50))
    collect()
    append(session_file(sessions_home), said(1))  # 49 seconds before the one that is stored
    collect()
    assert texts() == ["50", "1"]
    latest = query(
        "select s.last_message_at = max(m.timestamp) from sessions.sessions s, sessions.messages m group by s.id"
    )
    assert latest == [(True,)]


def test_lines_copied_into_a_fork_stay_with_the_first_session(sessions_home: Path) -> None:
    append(session_file(sessions_home), said(0), said(1))
    collect()
    append(session_file(sessions_home, OTHER), said(0), said(1), said(2))
    assert collect()["duplicates"] == 2
    assert (texts(), texts(OTHER)) == (["0", "1"], ["2"])


def test_the_same_uuid_in_two_files_of_one_pass_goes_in_once(
    sessions_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(session_file(sessions_home), said(0), said(1))
    append(session_file(sessions_home, OTHER), said(0), said(1))
    counts = collect()
    assert (counts["messages_inserted"], counts["duplicates"], stored()) == (2, 2, 2)
    assert "refused" not in capsys.readouterr().out


def test_a_file_moved_to_another_folder_is_not_doubled(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    append(path, said(0))
    collect()
    path.rename(session_file(sessions_home, SESSION, "-elsewhere"))
    assert collect()["duplicates"] == 1
    assert texts() == ["0"]


def test_one_session_in_two_folders_of_one_pass_is_one_session(sessions_home: Path) -> None:
    append(session_file(sessions_home), said(0), b'{"type":"summary","summary":"Title","leafUuid":"x"}')
    append(session_file(sessions_home, SESSION, "-elsewhere"), said(0), said(1))
    counts = collect()
    assert (counts["messages_inserted"], counts["duplicates"]) == (3, 1)
    assert query("select meta->>'title', message_count from sessions.sessions") == [("Title", 3)]


def test_subagents_and_continuations_are_linked(sessions_home: Path) -> None:
    write_sessions(sessions_home, Plan(sessions=50, messages=100, mix={"claude": 1}))
    collect()
    linked = query(
        "select count(*) from sessions.session_relations r join sessions.sessions p on p.session_id = "
        "r.parent_session_id join sessions.sessions c on c.session_id = r.child_session_id "
        "where c.session_type = 'subagent' and p.session_type = 'main'"
    )
    assert linked == [(5,)]
    assert query(
        "select count(*) from sessions.continuation_chains c join sessions.sessions s on s.session_id = "
        "c.continued_from join sessions.sessions n on n.session_id = c.session_id"
    ) == [(2,)]


def test_projects_are_shared_by_the_tools_that_work_in_them(sessions_home: Path) -> None:
    write_sessions(sessions_home, Plan(sessions=8, messages=8))
    collect()
    rows = query("select path, name, encoded_dir_name, repo_url from sessions.projects where path like '/%'")
    assert rows == [("/home/dev/projects/atlas", "atlas", "-home-dev-projects-atlas", "https://example.org/atlas.git")]


def test_a_session_without_a_folder_moves_to_its_project_once_that_is_known(sessions_home: Path) -> None:
    path = session_file(sessions_home, folder="-home-dev-my-app")
    append(path, b'{"type":"summary","summary":"My app","leafUuid":"x"}')
    collect()
    append(path, said(0).replace(b"/home/dev/projects/broken", b"/home/dev/my-app"))
    collect()
    joined = "from sessions.sessions s join sessions.projects p on p.id = s.project_id"
    assert query(f"select p.path, s.cwd, s.meta->>'title' {joined}") == [
        ("/home/dev/my-app", "/home/dev/my-app", "My app")
    ]


def gemini_chat(home: Path, *contents: str) -> None:
    path = folders(home)["gemini"] / "abc" / "chats" / "session-1.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    messages = [
        {"id": f"{OTHER[:-1]}{number}", "type": "gemini", "timestamp": "2026-01-05T10:00:00Z", "content": content}
        for number, content in enumerate(contents)
    ]
    path.write_text(json.dumps({"sessionId": "chat", "messages": messages}), encoding="utf-8")


def test_a_message_that_grew_in_a_rewritten_document_is_revised_in_place(sessions_home: Path) -> None:
    gemini_chat(sessions_home, "whole", "hal")
    collect()
    query("update sessions.messages set vector_indexed = 1")
    gemini_chat(sessions_home, "whole", "half no more", "new")
    counts = collect()
    assert (counts["messages_revised"], counts["messages_inserted"]) == (1, 1)
    assert "duplicates" not in counts
    assert texts("chat") == ["whole", "half no more", "new"]
    assert query("select vector_indexed from sessions.messages order by sequence") == [(1,), (0,), (0,)]


def test_a_rewritten_document_revises_no_other_sessions_message(sessions_home: Path) -> None:
    uuid = json.loads(said(0))["uuid"]
    append(session_file(sessions_home), said(0))
    collect()
    path = folders(sessions_home)["gemini"] / "abc" / "chats" / "session-1.json"
    path.parent.mkdir(parents=True)
    stolen = {"id": uuid, "type": "user", "content": "not what was said"}
    path.write_text(json.dumps({"sessionId": "chat", "messages": [stolen]}), encoding="utf-8")
    assert "messages_inserted" not in collect()
    assert texts() == ["0"]


def test_a_vanished_folder_costs_the_other_tools_nothing(
    sessions_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_sessions(sessions_home, Plan(sessions=8, messages=80))
    collect()
    away = sessions_home / "away"
    folders(sessions_home)["claude"].rename(away)
    append(folders(sessions_home)["codex"] / "history.jsonl", b'{"session_id":"new","ts":1767607200,"text":"hi"}')
    counts = collect()
    assert (counts["folders_missing"], counts["messages_inserted"]) == (1, 1)
    assert "sessions.folder_missing" in capsys.readouterr().out
    away.rename(folders(sessions_home)["claude"])
    assert collect().keys() <= {"projects_scanned", "sessions_scanned"}
    assert stored() == written.messages.total() + 1


def test_tools_that_are_not_installed_are_no_news(sessions_home: Path) -> None:
    assert not folders(sessions_home)["claude"].exists()
    assert collect() == {}


def test_a_folder_that_cannot_be_read_is_an_error_and_the_rest_goes_in(sessions_home: Path) -> None:
    append(session_file(sessions_home), said(0))
    (folders(sessions_home)["claude"] / "loop").symlink_to("loop")
    counts = collect()
    assert (counts["errors"], counts["messages_inserted"]) == (1, 1)


def test_a_file_that_cannot_be_read_is_an_error_and_the_rest_goes_in(sessions_home: Path) -> None:
    append(session_file(sessions_home), said(0))
    session_file(sessions_home, OTHER).mkdir()
    assert collect()["errors"] == 1
    assert texts() == ["0"]


def test_a_file_that_is_gone_is_forgotten_and_known_when_it_comes_back(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    append(path, said(0))
    append(session_file(sessions_home, OTHER), said(7))
    collect()
    content = path.read_bytes()
    path.unlink()
    assert collect()["files_forgotten"] == 1
    assert query("select count(*) from sessions.files") == [(1,)]
    path.write_bytes(content)
    assert collect()["duplicates"] == 1
    assert texts() == ["0"]


def test_files_of_a_folder_that_cannot_be_read_for_a_while_are_not_forgotten(sessions_home: Path) -> None:
    path = session_file(sessions_home)
    append(path, said(0))
    collect()
    away = path.parent.rename(sessions_home / "away")
    path.parent.symlink_to(path.parent.name)
    assert collect()["errors"] == 1
    path.parent.unlink()
    away.rename(path.parent)
    assert collect().keys() <= {"projects_scanned", "sessions_scanned"}


def test_a_message_that_postgres_refuses_costs_only_itself_and_waits_for_a_mend(
    sessions_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_COLLECT_BATCH_MESSAGES", "4")  # the file's later batches must wait as well
    get_sessions_settings.cache_clear()
    query("alter table sessions.messages add constraint strict check (content_text <> 'refuse me')")
    append(session_file(sessions_home), *(said(number, "refuse me" if number == 5 else "") for number in range(11)))
    append(session_file(sessions_home, OTHER), said(20, session=OTHER))
    counts = collect()
    assert (counts["messages_refused"], counts["messages_inserted"]) == (1, 11)
    assert texts() == [str(number) for number in range(11) if number != 5]
    query("alter table sessions.messages drop constraint strict")
    assert collect()["messages_inserted"] == 1
    assert texts() == ["0", "1", "2", "3", "4", "6", "7", "8", "9", "10", "refuse me"]
    assert collect().keys() <= {"projects_scanned", "sessions_scanned"}


def test_a_refusal_is_logged_without_what_people_wrote(sessions_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query("alter table sessions.messages add constraint strict check (content_text <> 'my secret')")
    append(session_file(sessions_home), said(0, "my secret"))
    collect()
    logged = capsys.readouterr().out
    assert "sessions.message_refused" in logged
    assert "strict" in logged
    assert "my secret" not in logged


def test_a_cancelled_pass_keeps_what_it_wrote_and_the_next_takes_the_rest(
    sessions_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_COLLECT_BATCH_MESSAGES", "10")
    get_sessions_settings.cache_clear()
    written = write_sessions(sessions_home, Plan(sessions=6, messages=120))
    run = Run(job="collect_all")
    run.request_cancel()
    enter_run(run)
    collect_all()
    enter_run(None)
    assert stored() == 0
    assert collect()["messages_inserted"] == written.messages.total()


def test_a_database_that_is_away_fails_the_run_and_loses_nothing(
    sessions_home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(session_file(sessions_home), said(0))
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    get_settings.cache_clear()
    database.dispose()
    with pytest.raises(OperationalError):
        collect()
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", postgres_url)
    get_settings.cache_clear()
    database.dispose()
    assert collect()["messages_inserted"] == 1


def test_the_sources_json_is_not_kept_when_told_so(sessions_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_KEEP_RAW", "false")
    get_sessions_settings.cache_clear()
    append(session_file(sessions_home), said(0))
    collect()
    assert query("select raw from sessions.messages") == [(None,)]
