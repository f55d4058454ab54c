"""Pages asked as a browser without scripts asks them: what they say, and whom they let in."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from callboard.accounts import sign_in
from callboard.ledger import _search, breakers
from callboard.ledger.database import transaction
from callboard.operations import Who, accounts
from console._words import browser, coded
from console.app import make_app
from console.pages._listing import counted
from console.security import CSRF_HEADER, csrf_token
from tests.console.api.caller import add_key, key_headers
from tests.console.kit import add_project, add_user, serving_app, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.server import ConsoleServer
    from tests.board import Board

RUNS = "/admin/background_jobs"
WHO = Who("cli:test")
WORD, NEW = "correct horse battery", "staple horse battery"
_FORTY = """
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, attempt)
select gen_random_uuid(), now() - n * interval '1 s', 'load', 'upkeep', 'completed', 'send', 'c',
       case n when 40 then 3 else 1 end
from generate_series(1, 40) n
"""

_ACTS = """
insert into board.audit (at, who, action, resource_type, resource_id)
select now() - n * interval '1 s', 'cli:anna', 'queue.pause', 'queue', case n when 15 then 'first' else 'mail' end
from generate_series(1, 15) n
"""


@pytest.fixture
def served(board: Board) -> Iterator[ConsoleServer]:
    with serving_app(make_app(board.settings), board.settings) as server:
        yield server


@pytest.fixture
def admin(served: ConsoleServer) -> Iterator[httpx.Client]:
    with signed_in(served) as browser:
        yield browser


def _note(browser: httpx.Client, path: str, **form: str) -> str:
    """What the next page says that came of a form."""
    answer = browser.post(path, data=form)
    assert answer.status_code == 303, answer.text
    page = browser.get(answer.headers["location"]).text
    found = re.search(r'<div class="note is-\w+" role="\w+">.*?<div class="grow">(.*?)</div>', page, re.DOTALL)
    assert found, page
    return html.unescape(found[1])


def _go_on(browser: httpx.Client, answer: httpx.Response) -> None:
    """Take the new session, as a browser does."""
    assert answer.status_code in (200, 303), answer.text
    token = answer.cookies["callboard"]
    browser.cookies.clear()
    browser.cookies.set("callboard", token)
    browser.headers[CSRF_HEADER] = csrf_token(token)


def test_a_search_says_how_far_it_has_looked_and_goes_on(
    admin: httpx.Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "FIRST_WINDOW", 16)
    monkeypatch.setattr(_search, "PATIENCE", 0.0)
    board.execute(_FORTY)
    wanted = str(board.one("select id from board.runs where attempt = 3"))
    page, told = admin.get(RUNS, params={"q": "attempt:3"}).text, 0
    while wanted not in page:
        assert "No run fits so far" in page
        assert re.search(r"Looked back to [0-9-]{10} [0-9:]{8} UTC; nothing older was searched yet\.", page)
        link = re.search(r'href="([^"]+)" rel="next">Search further', page)
        assert link, page
        page, told = admin.get(html.unescape(link[1])).text, told + 1
    assert told == 2
    assert "no runs so far" in page  # what is counted is estimated by the first window
    asked = {"filter": "attempt:3", "count": "true"}
    answer = admin.get("/v1/runs", params=asked).json()
    assert (answer["items"], answer["has_more"], answer["count"]["exact"]) == ([], True, False)
    assert answer["searched_until"] is not None


def test_an_estimate_is_told_as_one() -> None:
    assert counted("runs", 12_345, exact=False) == "about 12,000 runs"
    assert counted("issues", 1, exact=False) == "about 1 issues"
    assert counted("dead_letters", 0, exact=False) == "no dead letters so far"
    assert counted("runs", 10_000, exact=True) == "10,000 runs"
    assert counted("failures", 1, exact=True) == "1 failure"


def test_a_run_without_a_row_may_start_yet(admin: httpx.Client) -> None:
    answer = admin.get(f"{RUNS}/runs/{uuid4()}")
    assert answer.status_code == 404
    assert "No run of that id has started yet" in answer.text
    assert 'data-live="jobs_changed"' in answer.text
    answer = admin.get(f"{RUNS}/runs/nonsense")
    assert answer.status_code == 404
    assert "is no run id" in answer.text


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/runs", f"{RUNS}/runs"),
        ("/runs/abc?tab=log", f"{RUNS}/runs/abc?tab=log"),
        ("/jobs/webhook.deliver", "/admin/jobs/webhook.deliver"),
        ("/issues?q=job:a", "/admin/issues?q=job:a"),
        ("/dead_letters/7", "/admin/dead_letters/7"),
        ("/dead-letters", "/admin/dead_letters"),
        ("/admin/failures/3", f"{RUNS}/failures/3"),
        ("/issues//elsewhere.example/x", "/admin/issues//elsewhere.example/x"),
    ],
)
def test_a_short_address_leads_to_its_page(admin: httpx.Client, path: str, page: str) -> None:
    answer = admin.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, page)


@pytest.mark.parametrize(
    ("path", "told", "around"),
    [
        ("/admin/issues/999", "No issue has the id 999", '"/admin/issues">Issues'),
        ("/admin/issues/abc", "Nothing has the id abc", '"/admin/issues">Issues'),
        ("/admin/dead_letters/999", "No dead letter has the id 999", '"/admin/dead_letters">Dead letters'),
        (f"{RUNS}/failures/999", "No failure has the id 999", f'"{RUNS}/failures">Failures'),
        ("/admin/jobs/no.such", "No job is called 'no.such'", '"/admin/jobs">Jobs'),
        ("/admin/issues/1/more", "Nothing is at /admin/issues/1/more", '"/admin/issues">Issues'),
        ("/no/such/page", "Nothing is at /no/such/page", '"/">To the start'),
    ],
)
def test_what_is_not_there_is_named_and_where_to_look(admin: httpx.Client, path: str, told: str, around: str) -> None:
    answer = admin.get(path)
    assert answer.status_code == 404
    assert told in html.unescape(answer.text)
    assert f"href={around}</a>" in answer.text


def test_keys_are_for_people_who_signed_in(served: ConsoleServer, admin: httpx.Client) -> None:
    owner = add_user()
    everything = ("jobs:read", "jobs:write", "accounts:write")
    with signed_in(served, owner) as browser:
        browser.post("/admin/keys", data={"name": "one", "scopes": "jobs:read"}).raise_for_status()
        listed = browser.get("/v1/keys").json()["items"]
    by_key = key_headers(add_key(owner, everything))
    revoke = f"/admin/keys/{listed[0]['id']}/revoke"
    for method, path in (("GET", "/admin/keys"), ("POST", revoke), ("GET", "/account"), ("POST", "/account/sign-out")):
        answer = httpx.request(method, served.url + path, headers=by_key)
        assert (answer.status_code, "a key never may" in answer.text) == (403, True), path
    assert "is revoked" in _note(admin, revoke)


@pytest.mark.parametrize(
    ("path", "form", "field"),
    [
        ("/admin/keys", {"name": "x", "scopes": "jobs:read", "team": "no-id"}, "team"),
        ("/admin/accounts/teams", {"name": "x", "owner": "no-id"}, "owner"),
    ],
)
def test_a_choice_that_is_none_is_refused_by_name(
    admin: httpx.Client, path: str, form: dict[str, str], field: str
) -> None:
    answer = admin.post(path, data=form)
    assert answer.status_code == 400
    assert f"{field}='no-id' is no id" in html.unescape(answer.text)


def test_the_audit_is_narrowed_and_paged(admin: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.ledger.pages._MOST_ROWS", 2)
    for name in ("a", "b", "c"):
        accounts.create_team(name, who=WHO)
    anna = add_user(email="anna@example.org")
    accounts.set_name(anna, "Anna", who=Who(f"manual:user:{anna}"))
    page = admin.get("/admin/audit", params={"q": "action:team.* type:team"}).text
    assert page.count("team.create") == 2
    assert 'href="/admin/audit?q=action%3Ateam.%2A" aria-label="Remove type:team"' in page
    assert "3 acts" in page
    assert "team b" in " ".join(page.split()), "by its name"
    link = re.search(r'href="([^"]+)" rel="next">Older', page)
    assert link, page
    page = admin.get(html.unescape(link[1])).text
    assert page.count("team.create") == 1
    assert 'rel="next"' not in page
    page = admin.get("/admin/audit", params={"q": "who:ANNA@example.org"}).text
    assert len(re.findall(r'id="a-\d+"', page)) == 1
    assert "user.rename" in page
    for wrong in ({"q": "actor:anna"}, {"cursor": "nonsense"}):
        page = admin.get("/admin/audit", params=wrong).text
        assert 'id="q-wrong" role="alert"' in page
        assert "Nobody has done anything" not in page


def test_an_audit_that_is_not_searched_to_its_end_says_so(
    admin: httpx.Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page of it is no "nothing there"."""
    monkeypatch.setattr(_search, "PATIENCE", 0.0)
    monkeypatch.setattr(_search, "FIRST_WINDOW", 10)
    board.execute(_ACTS)
    page = admin.get("/admin/audit", params={"q": "resource:first"}).text
    assert "No act fits so far" in page
    assert "nothing older was searched yet" in page
    link = re.search(r'href="([^"]+)" rel="next">Search further', page)
    assert link, page
    assert ">first</span>" in admin.get(html.unescape(link[1])).text
    assert "No act fits<" in admin.get("/admin/audit", params={"q": "who:nobody@example.org"}).text


def test_people_without_the_board_begin_with_their_teams(served: ConsoleServer) -> None:
    member = add_user(None)
    add_project(member)
    accounts.set_password(member, WORD, who=WHO)
    for wanted, lands in (("", "/teams"), ("/", "/teams"), ("/admin/keys", "/admin/keys")):
        form = {"email": f"{member.hex}@example.org", "password": WORD, "next": wanted}
        answer = httpx.post(f"{served.url}/sign-in", data=form, headers={"Origin": served.url})
        assert (answer.status_code, answer.headers["location"]) == (303, lands)
    with signed_in(served, member) as browser:
        assert browser.get("/").headers["location"] == "/teams"
        assert browser.get(RUNS).status_code == 403


def test_ones_own_account_tells_and_ends_sign_ins(served: ConsoleServer) -> None:
    anna = add_user("viewer", "anna@example.org")
    add_project(anna)
    other = sign_in.with_link(sign_in.make_link(anna), ip="192.0.2.7", agent="Lynx/2.9").token
    with signed_in(served, anna) as browser:
        page = browser.get("/account").text
        assert all(told in page for told in ("anna@example.org", "viewer", "(member)", "Lynx/2.9", "192.0.2.7"))
        (end,) = re.findall(r'action="(/account/sign-ins/\w+/end)"', page)
        assert _note(browser, end) == "That sign-in is ended."
        assert sign_in.find(other) is None
        assert "has ended already" in _note(browser, end)
        answer = browser.post("/account/sign-out")
        assert answer.headers["location"] == "/sign-in"
        assert browser.get("/account").headers["location"] == "/sign-in?next=/account"


def test_a_password_is_taken_and_changed(served: ConsoleServer, board: Board) -> None:
    anna = add_user("viewer", "anna@example.org")
    with signed_in(served, anna) as browser:
        assert 'name="old"' not in browser.get("/account").text
        assert "two ways" in _note(browser, "/account/password", new=WORD, repeated=NEW)
        assert "it needs 12" in _note(browser, "/account/password", new="short", repeated="short")
        before = browser.cookies["callboard"]
        _go_on(browser, browser.post("/account/password", data={"new": WORD, "repeated": WORD}))
        assert sign_in.find(before) is None
        assert 'name="old"' in browser.get("/account").text
        wrong = {"old": "not the old one", "new": NEW}
        assert "another one" in _note(browser, "/account/password", repeated=NEW, **wrong)
        answer = browser.post("/v1/me/password", json=wrong)
        assert (answer.status_code, answer.json()["field"]) == (400, "old")
        _go_on(browser, browser.post("/v1/me/password", json={"old": WORD, "new": NEW}))
        assert browser.get("/v1/me").json()["user_id"] == str(anna)
    assert sign_in.with_password("anna@example.org", NEW, ip=None, agent=None).principal.user_id == anna
    rows = str(board.query("select * from board.audit"))
    assert "user.password" in rows
    assert not any(word in rows for word in (WORD, NEW))
    assert board.one("select count(*) from board.sign_ins") == 2


def test_who_guesses_at_a_password_is_told_to_wait(served: ConsoleServer) -> None:
    anna = add_user("viewer", "anna@example.org")
    accounts.set_password(anna, WORD, who=WHO)
    with signed_in(served, anna) as browser:
        answers = [browser.post("/v1/me/password", json={"old": f"guess {n}", "new": NEW}) for n in range(8)]
        last = answers[-1]
        assert (last.status_code, int(last.headers["retry-after"]) > 0) == (429, True), last.text
        assert browser.get("/account").status_code == 200


def test_what_browsers_say_of_themselves_is_told_in_short() -> None:
    linux = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
    assert browser(linux) == "Chrome on Linux"
    assert browser(linux.replace("X11; Linux x86_64", "Windows NT 10.0") + " Edg/130.0") == "Edge on Windows"
    assert browser("Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0") == "Firefox on Android"
    assert browser("callboard 0.1.0") == "callboard 0.1.0"
    assert browser(None) == "not told"


def test_text_between_backticks_is_code_and_all_is_escaped() -> None:
    assert coded("`callboard <job>` & more") == "<code>callboard &lt;job&gt;</code> &amp; more"


def test_the_dashboard_names_the_targets_that_are_left_alone(admin: httpx.Client) -> None:
    assert "Left alone" not in admin.get(RUNS).text
    with transaction() as connection:
        breakers.failed(connection, "siem:<one>", threshold=1, cooldown=60, error="answered 503")
        breakers.failed(connection, "siem:two", threshold=5, cooldown=60, error="answered 500")
    page = admin.get(RUNS).text
    assert "Left alone" in page
    for word in ("siem:&lt;one&gt;", "answered 503", "1 failures in a row"):
        assert word in page
    assert "siem:two" not in page
