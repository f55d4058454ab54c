"""Doors to the outside: webhooks, destinations, connections, integrations; what operators enter, and its secrets."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from actors.memory.settings import get_memory_settings
from callboard import unseal
from callboard.exits import Exit
from callboard.ledger.database import transaction
from sandbox.google_drive import GoogleDriveStandIn
from tests.integration.memory.syncing import point_at

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.integration.cli.conftest import Answer, Board

TOKEN = "hunter2-hunter2-hunter2"
SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
URL = "https://crm.example.com/in?key=swordfish"


@pytest.fixture
def sealing(board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board with a key for secrets."""
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", b64encode(bytes(32)).decode())
    return board


def rows(sql: str, **given: object) -> list[Any]:
    with transaction() as connection:
        return [tuple(row) for row in connection.execute(text(sql), given)]


def a_tenant(name: str = "Acme") -> UUID:
    tenant = uuid4()
    with transaction() as connection:
        connection.execute(
            text("insert into memory.tenants (id, name) values (:id, :name)"), {"id": tenant, "name": name}
        )
    return tenant


def a_user(tenant: UUID, email: str = "anna@acme.example") -> UUID:
    user = uuid4()
    with transaction() as connection:
        connection.execute(
            text("insert into memory.users (id, tenant_id, email) values (:id, :tenant, :email)"),
            {"id": user, "tenant": tenant, "email": email},
        )
    return user


@pytest.fixture
def drive(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleDriveStandIn]:
    """Google Drive, as commands and workers know it, with a document."""
    del sealing
    with GoogleDriveStandIn() as stand_in:
        point_at(monkeypatch, "google_drive", stand_in)
        stand_in.put("1", "Office", "The office moves to Lisbon in May.")
        yield stand_in
    get_memory_settings.cache_clear()


def a_project(name: str = "Shop") -> UUID:
    team, project = uuid4(), uuid4()
    with transaction() as connection:
        connection.execute(text("insert into revenue.teams (id, name) values (:id, 'Growth')"), {"id": team})
        connection.execute(
            text("insert into revenue.projects (id, team_id, name) values (:id, :team, :name)"),
            {"id": project, "team": team, "name": name},
        )
    return project


def say(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """What the commands will find on stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def done(answer: Answer) -> str:
    assert (answer.code, answer.err) == (0, ""), answer
    return answer.out


def listed(board: Board, *argv: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done(board(*argv, "--json")))
    return found


def audited() -> list[Any]:
    return rows("select action, why from board.audit order by id")


def test_a_webhook_is_registered_and_its_secret_is_alone_on_stdout(sealing: Board) -> None:
    a_tenant()
    words = ("--tenant", "Acme", "--event", "memory.created", "--set", "max_retries=9", "--why", "asked for")
    answer = sealing("webhooks", "add", "crm", URL, *words)
    assert (answer.code, "crm is registered" in answer.err) == (0, True), answer
    secret = answer.out.strip()
    ((kept,),) = rows("select secret from memory.webhooks")
    assert unseal(bytes(kept)).decode() == secret
    (row,) = listed(sealing, "webhooks", "list", "--tenant", "Acme")
    told = row["name"], row["tenant"], row["event_types"], row["max_retries"], row["active"], row["has_two_secrets"]
    assert told == ("crm", "Acme", ["memory.created"], 9, True, False)
    assert row["url"] == "https://crm.example.com/in?…"
    assert rows("select action, why, detail->>'name' from board.audit") == [("webhook.add", "asked for", "crm")]
    seen = done(sealing("webhooks", "list")) + json.dumps(rows("select detail::text from board.audit"))
    assert not any(word in seen for word in (secret, "swordfish"))


def test_secrets_of_the_owners_come_from_stdin(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = a_tenant()
    say(monkeypatch, TOKEN, SECRET)
    words = ("--tenant", str(tenant), "--auth-header", "Authorization", "--own-secret", "--stdin")
    assert sealing("webhooks", "add", "crm", URL, *words).out.strip() == SECRET
    ((name, value, events),) = rows("select auth_header_name, auth_header_value, event_types from memory.webhooks")
    assert (name, unseal(bytes(value)).decode(), events) == ("Authorization", TOKEN, ["*"])
    assert TOKEN not in done(sealing("webhooks", "list", "--json"))


def test_a_webhook_is_disabled_enabled_and_gets_another_secret(sealing: Board) -> None:
    a_tenant()
    first = sealing("webhooks", "add", "crm", URL, "--tenant", "Acme").out.strip()
    done(sealing("webhooks", "disable", "crm", "--why", "moved"))
    assert [row["disabled_reason"] for row in listed(sealing, "webhooks", "list")] == ["moved"]
    assert listed(sealing, "webhooks", "list", "--active") == []
    refused = sealing("webhooks", "test", "crm")
    assert (refused.code, "crm is disabled (moved)" in refused.err) == (Exit.FAILED, True)
    done(sealing("webhooks", "enable", "crm"))
    second = sealing("webhooks", "rotate", "crm").out.strip()
    assert second != first
    ((new, old),) = rows("select secret, previous_secret from memory.webhooks")
    assert [unseal(bytes(each)).decode() for each in (new, old)] == [second, first]
    done(sealing("webhooks", "rotate", "crm", "--done"))
    assert rows("select previous_secret from memory.webhooks") == [(None,)]
    assert audited() == [
        ("webhook.add", ""),
        ("webhook.disable", "moved"),
        ("webhook.enable", ""),
        ("webhook.rotate", ""),
        ("webhook.rotate", ""),
    ]
    told = rows("select event_type, category, payload_json->>'why' from memory.audit_logs order by id")
    assert told == [
        ("webhook.added", "security", ""),
        ("webhook.disabled", "security", "moved"),
        ("webhook.enabled", "security", ""),
        ("webhook.secret_rotated", "security", ""),
        ("webhook.secret_rotated", "security", ""),
    ]


def test_a_test_event_goes_to_one_webhook_whatever_it_asked_for(sealing: Board) -> None:
    a_tenant()
    for name in ("crm", "other"):
        sealing("webhooks", "add", name, URL, "--tenant", "Acme", "--event", "memory.created")
    assert "is on its way to crm: callboard run show " in done(sealing("webhooks", "test", "crm"))
    sent = rows(
        "select w.name, d.event_type from memory.webhook_deliveries d join memory.webhooks w on w.id = webhook_id"
    )
    assert sent == [("crm", "webhook.test")]
    assert rows("select state from board.runs where job = 'webhook.deliver'") == [("pending",)]
    assert audited()[-1] == ("webhook.test", "")


def test_what_does_not_fit_is_refused_and_writes_nothing(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Acme", "Twice", "Twice"):
        a_tenant(name)
    say(monkeypatch)
    for words, code, told in (
        ((URL, "--tenant", "Nobody"), Exit.NOT_FOUND, "no tenant has the id or the name 'Nobody'"),
        ((URL, "--tenant", "Twice"), Exit.NOT_FOUND, "2 tenants are called 'Twice'; give an id instead"),
        (("ftp://x.example", "--tenant", "Acme"), Exit.USAGE, "url: ftp://x.example must be http or https"),
        (("https://u:pw@x.example", "--tenant", "Acme"), Exit.USAGE, "with a host and no password"),
        ((URL, "--tenant", "Acme", "--set", "max_retries=51"), Exit.USAGE, "max_retries=51 must be a whole number"),
        ((URL, "--tenant", "Acme", "--set", "max_retries=many"), Exit.USAGE, "max_retries='many' must be"),
        ((URL, "--tenant", "Acme", "--set", "secret=x"), Exit.USAGE, "--set secret: it must be one of retry_base"),
        ((URL, "--tenant", "Acme", "--project", "shop"), Exit.USAGE, "--project 'shop' is no id"),
        ((URL, "--tenant", "Acme", "--own-secret"), Exit.USAGE, "no terminal to ask for the signing secret on"),
    ):
        answer = sealing("webhooks", "add", "crm", *words)
        assert (answer.code, told in answer.err, "pw" in answer.err) == (code, True, False), answer
    assert (rows("select id from memory.webhooks"), audited()) == ([], [])


def test_without_a_key_nothing_is_kept(board: Board) -> None:
    a_tenant()
    answer = board("webhooks", "add", "crm", URL, "--tenant", "Acme")
    assert (answer.code, "set CALLBOARD_SECRET_KEYS" in answer.err, answer.out) == (Exit.FAILED, True, "")
    assert rows("select id from memory.webhooks") == []


def test_a_destination_is_added_switched_and_gets_another_token(
    sealing: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = a_tenant()
    say(monkeypatch, TOKEN)
    words = ("--tenant", "Acme", "--category", "security", "--option", "index=audit", "--stdin", "--why", "asked for")
    made = done(sealing("destinations", "add", "splunk", "https://splunk.example.com:8088", *words))
    (row,) = listed(sealing, "destinations", "list")
    assert row["id"] in made
    assert (row["kind"], row["categories"], row["options"]) == ("splunk", ["security"], {"index": "audit"})
    assert (row["tenant_id"], row["active"], row["stuck_batch"]) == (str(tenant), True, None)
    done(sealing("destinations", "disable", row["id"]))
    assert "disabled" in done(sealing("destinations", "list"))
    done(sealing("destinations", "enable", row["id"]))
    say(monkeypatch, TOKEN[::-1])
    done(sealing("destinations", "token", row["id"], "--stdin"))
    ((kept, active),) = rows("select token, active from memory.siem_destinations")
    assert (unseal(bytes(kept)).decode(), active) == (TOKEN[::-1], True)
    acts = ("add", "disable", "enable", "token")
    assert [action for action, _ in audited()] == [f"destination.{each}" for each in acts]
    told = rows("select event_type, resource_type from memory.audit_logs where tenant_id = :id order by id", id=tenant)
    events = ("added", "disabled", "enabled", "token_replaced")
    assert told == [(f"siem.destination_{each}", "siem_destination") for each in events]
    seen = done(sealing("destinations", "list", "--json")) + json.dumps(rows("select detail::text from board.audit"))
    assert TOKEN not in seen


def test_a_destination_that_is_stuck_says_at_what(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    a_tenant()
    say(monkeypatch, SECRET)
    done(sealing("destinations", "add", "custom", URL, "--tenant", "Acme", "--stdin"))
    batch = uuid4()
    with transaction() as connection:
        letter = "select :batch, id, 1, 9, 6, 'answered 400' from memory.siem_destinations"
        connection.execute(text(f"insert into memory.siem_dead_letters {letter}"), {"batch": batch})
    (row,) = listed(sealing, "destinations", "list")
    said = done(sealing("destinations", "list"))
    assert f"{row['id']} would not take a batch: answered 400." in said
    assert f"siem_skip_batch --arg batch={batch}`" in said
    assert (row["last_error"], row["url"]) == ("answered 400", "https://crm.example.com/in?…")


def test_a_destination_that_does_not_fit_is_refused(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    a_tenant()
    for words, token, told in (
        (("syslog", URL), TOKEN, "kind='syslog' must be one of splunk, datadog, custom"),
        (("splunk", "splunk.example.com"), TOKEN, "must be http or https"),
        (("splunk", URL, "--category", "x"), TOKEN, "categories=['x'] must be some of auth"),
        (("custom", URL), TOKEN, "secret must be whsec_ and base64"),
        (("splunk", URL), "", "the token is empty"),
    ):
        say(monkeypatch, token)
        answer = sealing("destinations", "add", *words, "--tenant", "Acme", "--stdin")
        assert (answer.code, told in answer.err, TOKEN in answer.err) == (Exit.USAGE, True, False), answer
    assert (rows("select id from memory.siem_destinations"), audited()) == ([], [])


def test_revenuecat_is_connected_and_disconnected(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    project = a_project()
    assert "No project is connected" in done(sealing("integrations", "list"))
    say(monkeypatch, TOKEN)
    told = done(sealing("integrations", "connect", "Shop", "--their-project", "proj1", "--stdin", "--why", "new"))
    assert f"project_id={project}" in told
    (row,) = listed(sealing, "integrations", "list")
    assert (row["project_id"], row["team"], row["enabled"], row["provider_project"]) == (
        str(project),
        "Growth",
        True,
        "proj1",
    )
    ((kept,),) = rows("select api_key from revenue.integrations")
    assert unseal(bytes(kept)).decode() == TOKEN
    done(sealing("integrations", "disconnect", str(project)))
    assert listed(sealing, "integrations", "list") == []
    assert rows("select enabled, length(api_key), deleted_at is not null from revenue.integrations") == [
        (False, 0, True)
    ]
    again = sealing("integrations", "disconnect", "Shop")
    assert (again.code, "has no integration with RevenueCat" in again.err) == (Exit.NOT_FOUND, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: TOKEN if "key of RevenueCat" in prompt else "")
    done(sealing("integrations", "connect", "Shop"))
    assert [action for action, _ in audited()] == [
        f"integration.{each}" for each in ("connect", "disconnect", "connect")
    ]


def connected(board: Board, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """A connection that the command made, as the list shows it."""
    say(monkeypatch, "refresh-0")
    made = done(board("connections", "add", *words, "--tenant", "Acme", "--user", "Anna@acme.example", "--stdin"))
    (row,) = listed(board, "connections", "list", "--tenant", "Acme")
    assert f"`callboard connections sync {row['id']} --wait`" in " ".join(made.split())
    return row


def test_a_connection_is_added_and_synced_and_its_documents_are_remembered(
    drive: GoogleDriveStandIn,
    sealing: Board,
    monkeypatch: pytest.MonkeyPatch,
    worker: Callable[..., subprocess.Popen[str]],
) -> None:
    user = a_user(a_tenant())
    monkeypatch.setenv("CALLBOARD_ACTORS", "actors.memory.syncs,actors.memory.capture")
    row = connected(sealing, monkeypatch, "google_drive")
    worker()
    for words in (("connections", "sync", row["id"], "--wait"), ("trigger", "process_capture_queue_job", "--wait")):
        out, err = sealing.start(*words).communicate(timeout=60)
        assert "completed" in out, err
    found = rows("select user_id, extracted_key, source from memory.memories")
    assert found == [(user, "google_drive_1", "google_drive")]
    (after,) = listed(sealing, "connections", "list")
    assert (after["last_status"], after["last_error"]) == ("COMPLETED", None)
    assert "completed" in done(sealing("connections", "list"))
    assert drive.requests
    told = "select event_type, category, payload_json->>'id' from memory.audit_logs where resource_type = 'connection'"
    acts = ("added", "sync_requested")
    assert rows(f"{told} order by id") == [(f"connection.{each}", "security", row["id"]) for each in acts]


def test_a_connection_is_disabled_enabled_and_gets_another_token(
    drive: GoogleDriveStandIn, sealing: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    del drive
    a_user(a_tenant())
    row = connected(sealing, monkeypatch, "google_drive", "--frequency", "daily", "--at", "07:30")
    kept = rows("select access_token, refresh_token, frequency, sync_at::text from memory.connections")
    ((access, refresh, *cadence),) = kept
    assert (access, unseal(bytes(refresh)).decode(), cadence) == (None, "refresh-0", ["DAILY", "07:30:00"])
    done(sealing("connections", "disable", row["id"], "--why", "left us"))
    refused = sealing("connections", "sync", row["id"])
    assert (refused.code, f"`callboard connections enable {row['id']}` first" in refused.err) == (Exit.FAILED, True)
    say(monkeypatch, TOKEN)
    assert "disabled still" in done(sealing("connections", "token", row["id"], "--stdin"))
    done(sealing("connections", "enable", row["id"]))
    with transaction() as connection:
        connection.execute(text("update memory.connections set status = 'needs_reauth', access_token = 'old'"))
    assert f"callboard connections token {row['id']}" in " ".join(done(sealing("connections", "list")).split())
    refused = sealing("connections", "sync", row["id"])
    assert (refused.code, "is needs_reauth" in refused.err) == (Exit.FAILED, True)
    say(monkeypatch, TOKEN[::-1])
    done(sealing("connections", "token", row["id"], "--stdin"))
    ((status, access, refresh, due),) = rows(
        "select status, access_token, refresh_token, next_scheduled_sync <= now() from memory.connections"
    )
    assert (status, access, unseal(bytes(refresh)).decode(), due) == ("active", None, TOKEN[::-1], True)
    acts = [("add", ""), ("disable", "left us"), ("token", ""), ("enable", ""), ("token", "")]
    assert audited() == [(f"connection.{action}", why) for action, why in acts]
    seen = done(sealing("connections", "list", "--json")) + json.dumps(rows("select detail::text from board.audit"))
    assert not any(word in seen for word in (TOKEN, TOKEN[::-1], "refresh-0"))


def test_a_connection_that_does_not_fit_is_refused(sealing: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    a_user(a_tenant())
    get_memory_settings.cache_clear()
    anna, shop = ("--user", "anna@acme.example"), ("--repository", "acme/shop")
    for words, code, told in (
        (("dropbox", *anna), Exit.USAGE, "PROVIDER 'dropbox': it must be one of github, notion"),
        (("notion", "--user", "bob@acme.example"), Exit.NOT_FOUND, "no user has the id or the name 'bob@acme.example'"),
        (("github", *anna), Exit.USAGE, "repository=None must be owner/name"),
        (("notion", *anna, *shop), Exit.USAGE, "repository='acme/shop' is of github"),
        (("notion", *anna, "--frequency", "yearly"), Exit.USAGE, "frequency='YEARLY' must be one of REALTIME"),
        (("notion", *anna, "--environment", "test"), Exit.USAGE, "environment='test' must be one of development"),
        (("notion", *anna, "--at", "07:30"), Exit.USAGE, "at=07:30 is of DAILY and WEEKLY syncs"),
        (("notion", *anna, "--at", "noon"), Exit.USAGE, "--at 'noon' is no time of day"),
        (("notion", *anna, "--project", "shop"), Exit.USAGE, "--project 'shop' is no id"),
        (("onedrive", *anna), Exit.FAILED, "CALLBOARD_MEMORY_ONEDRIVE_CLIENT_ID is not set"),
    ):
        say(monkeypatch, TOKEN)
        answer = sealing("connections", "add", *words, "--tenant", "Acme", "--stdin")
        assert (answer.code, told in " ".join(answer.err.split()), TOKEN in answer.err) == (code, True, False), answer
    assert (rows("select id from memory.connections"), audited()) == ([], [])
