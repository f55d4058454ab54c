from __future__ import annotations

from pathlib import Path

from actors.sessions.adapters import Conversation, Message, Session, Slice, Source
from actors.sessions.reader import FileState, Stamp
from actors.sessions.store import Batch, load_states, write_batch
from callboard import transaction
from tests.integration.sessions.test_collect import query

STAMP = Stamp(1, 10, 5)
UUID = "0b7e20de-0000-4000-a000-00000000abcd"


def a_slice(session: Session, number: int, *, offset: int = 10) -> Slice:
    uuid = f"00000000-0000-4000-8000-{number:012x}"
    message = Message(uuid, "user", "2026-01-05T10:00:00+00:00", None, None, None, "hi", "hi", b"{}")
    state = FileState(STAMP, offset, "anchor", skipping=True, parser='{"a":1}')
    return Slice(Source(Path("/files/a.jsonl"), STAMP), state, [Conversation(session, [message])])


def write(*slices: Slice) -> dict[str, int]:
    batch = Batch("claude")
    for part in slices:
        batch.add(part)
    with transaction() as connection:
        return dict(write_batch(connection, batch, (), keep_raw=True))


def test_a_session_in_several_slices_is_put_together(sessions_home: Path) -> None:
    assert sessions_home.exists()
    first = Session("s", "claude", "claude:unknown", model="old", meta={"title": "Old"}, continues={"one-before"})
    second = Session(
        "s", "claude", "/home/a", cwd="/home/a", model="new", meta={"title": "New"}, continues={"two-before"}
    )
    third = Session("s", "claude", "/home/b", cwd="/home/b")
    assert write(a_slice(first, 1), a_slice(second, 2), a_slice(third, 3))["messages_inserted"] == 3
    joined = "from sessions.sessions s join sessions.projects p on p.id = s.project_id"
    assert query(f"select p.path, s.cwd, s.model, s.meta->>'title', s.message_count {joined}") == [
        ("/home/a", "/home/a", "new", "New", 3)
    ]
    assert query("select continued_from from sessions.continuation_chains order by 1") == [
        ("one-before",),
        ("two-before",),
    ]


def test_every_field_of_a_message_comes_back(sessions_home: Path) -> None:
    assert sessions_home.exists()
    part = a_slice(Session("s", "claude", "/home/a"), 1)
    part.conversations[0].messages = [
        Message(
            UUID,
            "assistant",
            "2026-01-05T12:00:00+02:00",
            "opus",
            "Bash",
            "toolu_1",
            "said",
            "said\n[Tool]",
            b'{"a":1}',
        )
    ]
    write(part)
    fields = "uuid::text, type, model, tool_name, tool_call_id, content_text, content_full, raw, source, vector_indexed"
    assert query(f"select {fields} from sessions.messages") == [
        (UUID, "assistant", "opus", "Bash", "toolu_1", "said", "said\n[Tool]", '{"a":1}', "claude", 0)
    ]
    assert query("select timestamp = '2026-01-05T10:00:00Z' from sessions.messages") == [(True,)]


def test_the_last_state_of_a_file_counts_and_comes_back_whole(sessions_home: Path) -> None:
    assert sessions_home.exists()
    session = Session("s", "claude", "/home/a")
    write(a_slice(session, 1, offset=4), a_slice(session, 2, offset=10))
    with transaction() as connection:
        states = load_states(connection)
    assert states == {"claude": {"/files/a.jsonl": FileState(STAMP, 10, "anchor", skipping=True, parser='{"a":1}')}}


def test_sequences_go_on_where_the_session_ended(sessions_home: Path) -> None:
    assert sessions_home.exists()
    session = Session("s", "claude", "/home/a")
    write(a_slice(session, 1))
    assert write(a_slice(session, 1), a_slice(session, 2)) == {"messages_inserted": 1, "duplicates": 1}
    assert query("select sequence from sessions.messages order by id") == [(1,), (2,)]


def test_an_empty_batch_writes_nothing(sessions_home: Path) -> None:
    assert sessions_home.exists()
    assert write() == {}
    assert query("select count(*) from sessions.files") == [(0,)]
