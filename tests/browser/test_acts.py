"""What operators do at the console, on real runs, and what the ledger says of it afterwards."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from callboard.embedded._endpoints import connect
from callboard.operations import accounts
from tests.browser.theatre import PASSWORD, WHO
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.embedded import Endpoints
    from tests.browser.theatre import Theatre
    from tests.browser.visitor import Visitor

    SignIn = Callable[..., Visitor]

pytestmark = pytest.mark.long

RUNS = "/admin/background_jobs"
LETTERS = "/admin/dead_letters"
_LAST_AUDIT = "select who, why from board.audit where action = :action order by id desc limit 1"
_LETTER = "select id from board.dead_letters where run_id = :run"


def _dead(theatre: Theatre, **kwargs: object) -> tuple[str, int]:
    given = {"delivery": "wd_7", "endpoint": "https://hooks.acme.example/in", **kwargs}
    run = theatre.send("webhook.deliver", **given)
    theatre.ended(run)
    return run, theatre.board.one(_LETTER, run=run)


def _audited(theatre: Theatre, action: str) -> tuple[str, str]:
    who, why = theatre.board.query(_LAST_AUDIT, action=action)[0]
    return who, why


def test_a_running_run_is_watched_live_and_cancelled(sign_in: SignIn, theatre: Theatre) -> None:
    theatre.jobs.GO_ON.clear()
    run = theatre.send("backup")
    eventually(lambda: theatre.state(run) == "running", 15)
    oleg = sign_in()
    page = oleg.go(f"{RUNS}/runs/{run}")
    expect(page.locator(".live")).to_have_text("live")
    page.get_by_role("button", name="Cancel").click()
    oleg.confirm("the disk is full")
    assert "asked to stop" in oleg.told()
    theatre.ended(run)
    expect(page.locator("#run-head .state").first).to_have_text("cancelled")
    assert _audited(theatre, "run.cancel") == (f"manual:user:{theatre.people['oleg@example.org']}", "the disk is full")


def test_a_page_follows_what_happens_without_a_reload(sign_in: SignIn, theatre: Theatre) -> None:
    oleg = sign_in()
    page = oleg.go(f"{RUNS}?q=job:compact")
    page.evaluate("window.sameDocument = true")
    expect(page.locator(".live")).to_have_text("live")
    box = page.locator("#q")
    box.fill("job:compact state:")
    run = theatre.send("compact")
    expect(page.locator(f"#r-{run} .state")).to_have_text("completed")
    assert page.evaluate("window.sameDocument") is True
    expect(box).to_have_value("job:compact state:")
    expect(box).to_be_focused()


def test_a_failure_is_retried_and_a_viewer_cannot(sign_in: SignIn, theatre: Theatre) -> None:
    theatre.jobs.MENDED.set()
    run = theatre.send("siem_forwarding_job")
    theatre.ended(run)
    failure = theatre.board.one("select max(id) from board.failures where run_id = :run", run=run)
    vera = sign_in("vera@example.org")
    page = vera.go(f"{RUNS}/failures/{failure}")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    vera.expected = ("403 (Forbidden)",)
    answer = page.evaluate(
        """async ([path, token]) => {
            const body = new URLSearchParams({csrf_token: token, ids: "1"});
            return (await fetch(path, {method: "POST", body})).status;
        }""",
        [f"{RUNS}/failures/retry", page.locator("input[name=csrf_token]").first.get_attribute("value")],
    )
    assert answer == 403
    oleg = sign_in()
    page = oleg.go(f"{RUNS}/failures?q=run:{run}")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("[data-chosen]")).to_have_text("1 chosen")
    page.get_by_role("button", name="Retry the chosen").click()
    oleg.confirm("the network is back")
    assert "retried" in oleg.told()
    page.locator("main > .note a").click()
    expect(page.locator("#lineage")).to_contain_text("origin")
    theatre.jobs.MENDED.clear()


def test_one_letter_is_replayed_with_other_arguments(sign_in: SignIn, theatre: Theatre) -> None:
    run, letter = _dead(theatre, authorization="Bearer t0p-s3cret")
    oleg = sign_in()
    page = oleg.go(f"{LETTERS}/{letter}")
    page.locator("#edit summary").click()
    box = page.locator("#args")
    assert "t0p" not in page.content()
    box.fill(box.input_value().replace("wd_7", "wd_70"))
    page.locator("#edit-why").fill("a new endpoint")
    page.get_by_role("button", name="Replay with these").click()
    assert "replayed with delivery changed" in oleg.told()
    again = theatre.board.one("select replay_run_id from board.dead_letters where id = :id", id=letter)
    theatre.ended(str(again))
    assert theatre.state(str(again)) == "completed"
    assert _audited(theatre, "dead_letter.replay")[1] == "a new endpoint"
    page = oleg.go(f"{LETTERS}/{letter}")
    expect(page.locator("#lineage")).to_contain_text("completed")
    assert str(run)[:13] in page.locator("#lineage").inner_text()


def test_everything_that_the_filter_matches_is_replayed_after_a_plan(sign_in: SignIn, theatre: Theatre) -> None:
    runs = [theatre.send("SyncInstagramProfileStories", account=f"bulk{n}") for n in range(5)]
    theatre.board.broker.resume("social")
    theatre.ended(*runs)
    theatre.jobs.MENDED.set()
    oleg = sign_in()
    page = oleg.go(f"{LETTERS}?q=job:SyncInstagramProfileStories%20error:bulk")
    page.get_by_role("link", name="Replay all 5 dead letters").click()
    sheet = page.locator("#sheet")
    expect(sheet).to_contain_text("SyncInstagramProfileStories")
    expect(sheet.get_by_label("Canary")).to_be_checked()
    sheet.locator("#why").fill("mended in 1.4.2")
    sheet.get_by_role("button", name="Replay 5").click()
    expect(page.locator("#bulk .state").first).to_have_text("done")
    expect(page.locator("#bulk [role=status]")).to_have_text("5 of 5")
    left = "select count(*) from board.dead_letters where state = 'open' and error like '%bulk%'"
    assert theatre.board.one(left) == 0
    theatre.jobs.MENDED.clear()


def test_the_chosen_letters_are_discarded(sign_in: SignIn, theatre: Theatre) -> None:
    run, letter = _dead(theatre, delivery="wd_gone")
    oleg = sign_in()
    page = oleg.go(f"{LETTERS}?q=run:{run}")
    page.get_by_label(f"Choose letter {letter}").check()
    page.get_by_role("button", name="Discard the chosen").click()
    page.locator("#why").fill("the customer is gone")
    page.get_by_role("button", name="Discard 1").click()
    assert "1 dead letter discarded" in oleg.told()
    assert (
        theatre.board.one("select settled_why from board.dead_letters where id = :id", id=letter)
        == "the customer is gone"
    )


def test_an_issue_is_taken_silenced_resolved_and_reopened(sign_in: SignIn, theatre: Theatre) -> None:
    _, letter = _dead(theatre)
    issue = theatre.board.one("select issue_id from board.dead_letters where id = :id", id=letter)
    oleg = sign_in()
    page = oleg.go(f"/admin/issues/{issue}")
    theatre.board.execute("update board.issues set status = 'open' where id = :id", id=issue)
    page.reload()
    page.get_by_role("button", name="Take it").click()
    assert "is yours" in oleg.told()
    expect(page.locator("#issue-head")).to_contain_text("taken by Oleg Operator")
    page.locator("#hours").select_option("8")
    page.get_by_role("button", name="Silence").click()
    assert "is silent until" in oleg.told()
    page.get_by_role("button", name="End the silence").click()
    assert "alarms again" in oleg.told()
    page.get_by_role("button", name="Resolve").click()
    oleg.confirm("deployed 1.4.2")
    assert "is resolved" in oleg.told()
    expect(page.locator("#issue-head")).to_contain_text("deployed 1.4.2")
    page.get_by_role("button", name="Reopen").click()
    oleg.confirm()
    assert "is open" in oleg.told()


def test_a_schedule_is_run_paused_and_resumed(sign_in: SignIn) -> None:
    oleg = sign_in()
    page = oleg.go("/admin/schedules")
    row = page.locator("#s-tier_transition_job")
    row.get_by_role("button", name="Run").click()
    oleg.confirm()
    assert "was asked for" in oleg.told()
    row.get_by_role("button", name="Pause").click()
    oleg.confirm("maintenance")
    expect(row).to_contain_text("paused")
    expect(row).to_contain_text("Oleg Operator")
    row.get_by_role("button", name="Resume").click()
    oleg.confirm()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()


def test_a_queue_is_paused_bounded_and_resumed(sign_in: SignIn, theatre: Theatre) -> None:
    oleg = sign_in()
    page = oleg.go("/admin/queues")
    row = page.locator("#q-ai")
    row.get_by_role("button", name="Pause").click()
    oleg.confirm()
    expect(row).to_contain_text("paused")
    run = theatre.send("classify_emails")
    eventually(lambda: theatre.state(run) == "pending", 10)
    waits = oleg.go(f"{RUNS}/runs/{run}")
    expect(waits.locator("#run-head")).to_contain_text("Why it waits: queue ai is paused")
    waits.get_by_role("button", name="Resume queue ai").click()
    oleg.confirm()
    theatre.ended(run)
    page = oleg.go("/admin/queues")
    page.get_by_label("Most of ai at once").fill("3")
    row.get_by_role("button", name="Set").click()
    assert "At most 3" in oleg.told()
    page.get_by_label("Most of ai at once").fill("")
    row.get_by_role("button", name="Set").click()
    assert "no bound" in oleg.told()


def test_a_refused_act_says_why_and_links_to_the_run_that_is_there(sign_in: SignIn, theatre: Theatre) -> None:
    theatre.jobs.GO_ON.clear()
    run = theatre.send("backup")
    eventually(lambda: theatre.state(run) == "running", 15)
    oleg = sign_in()
    page = oleg.go("/admin/jobs/backup")
    page.get_by_role("button", name="Run now").click()
    oleg.confirm()
    assert "already" in oleg.told()
    page.get_by_role("link", name="Show that run").click()
    page.wait_for_url(f"**/runs/{run}")
    theatre.jobs.GO_ON.set()
    theatre.ended(run)
    expect(page.locator("#run-head .state").first).to_have_text("completed")


def test_a_team_starts_its_job_watches_it_and_sees_nothing_else(sign_in: SignIn, theatre: Theatre) -> None:
    theatre.jobs.GO_ON.clear()
    foreign = theatre.send("compact")
    tess = sign_in("tess@example.org")
    page = tess.go("/")
    page.wait_for_url("**/teams/revenue")
    page.locator("#start summary").filter(has_text="revenuecat_sync").click()
    page.get_by_label("limit").fill("50")
    page.get_by_label("Project", exact=True).select_option(label="Owl Tasks")
    page.get_by_role("button", name="Start revenuecat_sync").click()
    assert "was asked for" in tess.told()
    page.locator("main > .note a").click()
    expect(page.locator("#run-head")).to_contain_text("revenuecat_sync")
    expect(page.locator("#timeline")).to_contain_text("Synced 38 users")
    page.get_by_role("button", name="Cancel").click()
    tess.confirm()
    expect(page.locator("#run-head .state").first).to_have_text("cancelled")
    tess.expected = ("403 (Forbidden)", "404 (Not Found)")
    assert page.goto(f"{theatre.url}{RUNS}/runs/{foreign}").status == 403  # type: ignore[union-attr]
    assert page.goto(f"{theatre.url}/teams/revenue/runs/{foreign}").status == 404  # type: ignore[union-attr]


def test_a_key_is_shown_once_and_revoked(sign_in: SignIn, theatre: Theatre) -> None:
    oleg = sign_in()
    page = oleg.go("/admin/keys")
    page.get_by_label("Name").fill("nightly report")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    known = page.request.get(f"{theatre.url}/v1/stream?topics=nothing", headers={"Authorization": f"Bearer {secret}"})
    assert known.status == 400, known.text()  # the topic is unknown, the key is not
    page = oleg.go("/admin/keys")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke").click()
    oleg.confirm("not needed")
    assert "is revoked" in oleg.told()
    gone = page.request.get(f"{theatre.url}/v1/stream", headers={"Authorization": f"Bearer {secret}"})
    assert gone.status == 401


def test_an_admin_lets_somebody_in_by_a_link(sign_in: SignIn, theatre: Theatre) -> None:
    anna = sign_in("anna@example.org")
    page = anna.go("/admin/accounts")
    page.get_by_label("Mail address").fill("nina@example.org")
    page.locator("#new-role").select_option("viewer")
    page.get_by_role("button", name="Let in").click()
    assert "nina@example.org is let in" in anna.told()
    row = page.locator("tr", has_text="nina@example.org")
    row.get_by_role("button", name="Link").click()
    address = page.locator("#link").inner_text()
    nina = sign_in("")
    nina.page.goto(re.sub(r"^https?://[^/]+", theatre.url, address))
    nina.page.get_by_role("button", name="Sign in").click()
    expect(nina.page.locator("h1")).to_have_text("Background jobs")
    page = anna.go("/admin/accounts")
    row.get_by_role("button", name="Disable").click()
    anna.confirm()
    assert "kept out" in anna.told()
    nina.page.reload()
    assert "/sign-in" in nina.page.url
    page = anna.go("/admin/audit?q=action:user.*")
    expect(page.locator("[data-row]").first).to_contain_text("user.disable")


def test_keys_chips_paging_and_the_theme(sign_in: SignIn, theatre: Theatre) -> None:
    oleg = sign_in()
    page = oleg.go(f"{RUNS}?q=job:compact%20state:completed")
    page.get_by_label("Remove state:completed").click()
    page.wait_for_url("**?q=job%3Acompact")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/admin/queues")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Switch between dark and light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.goto(f"{theatre.url}{RUNS}/failures")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/failures/*")


def test_acts_work_without_a_script(sign_in: SignIn, theatre: Theatre) -> None:
    oleg = sign_in()
    page = oleg.go("/admin/schedules")
    token = page.locator("input[name=csrf_token]").first.get_attribute("value") or ""
    answer = page.request.post(
        f"{theatre.url}/admin/schedules/compact/pause",
        form={"csrf_token": token, "back": "/admin/schedules"},
        headers={"Origin": theatre.url},
    )
    assert "compact is paused" in answer.text()
    assert (
        page.request.post(f"{theatre.url}/admin/schedules/compact/resume", headers={"Origin": theatre.url}).status
        == 403
    )
    page.goto(f"{theatre.url}/admin/schedules")
    page.locator("#s-compact").get_by_role("button", name="Resume").click()
    oleg.confirm()
    assert "fires again" in oleg.told()


def test_a_page_says_that_the_database_is_away_and_comes_back_by_itself(
    sign_in: SignIn, theatre: Theatre, embedded: Endpoints
) -> None:
    name = theatre.board.one("select current_database()")
    oleg = sign_in()
    oleg.go("/admin/workers")
    oleg.expected = ("503 (Service Unavailable)", "net::ERR", "v1/stream")
    with closing(connect(embedded.database_url, autocommit=True)) as outside:
        outside.execute(f"alter database {name} allow_connections false")
        try:
            outside.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            page = oleg.go("/admin/workers")
            expect(page.locator("[role=alert]")).to_contain_text("the database does not answer")
        finally:
            outside.execute(f"alter database {name} allow_connections true")
    expect(page.locator("h1")).to_have_text("Workers")


def test_a_page_of_a_run_that_has_not_started_shows_it_as_soon_as_it_does(sign_in: SignIn, theatre: Theatre) -> None:
    theatre.board.broker.pause("webhooks")
    run = theatre.send("webhook.deliver", delivery="wd_10", endpoint="https://hooks.acme.example/in")
    oleg = sign_in()
    oleg.expected = ("404 (Not Found)",)
    page = oleg.go(f"{RUNS}/runs/{run}")
    expect(page.locator("#awaited")).to_contain_text("No run of that id has started yet")
    expect(page.locator(".live")).to_have_text("live")
    theatre.board.broker.resume("webhooks")
    expect(page.locator("h1")).to_have_text("webhook.deliver")


def test_ones_own_password_is_changed_and_every_sign_in_ended(sign_in: SignIn) -> None:
    accounts.create_user("pia@example.org", who=WHO, name="Pia Person", password=PASSWORD)
    pia, elsewhere = sign_in("pia@example.org"), sign_in("")
    elsewhere.go("/sign-in")
    elsewhere.page.fill("#email", "pia@example.org")
    elsewhere.page.fill("#password", PASSWORD)
    elsewhere.page.click("button.main")
    page = pia.go("/teams")
    page.get_by_role("banner").get_by_role("link", name="Pia Person").click()
    page.get_by_role("button", name="End", exact=True).click()
    pia.confirm()
    assert "is ended" in pia.told()
    elsewhere.page.reload()
    assert "/sign-in" in elsewhere.page.url
    page.fill("#old", PASSWORD)
    page.fill("#new", "a password of my own")
    page.fill("#repeated", "a password of my own")
    page.get_by_role("button", name="Change it").click()
    assert "is changed" in pia.told()
    page.get_by_role("button", name="Sign out everywhere").click()
    pia.confirm()
    page.wait_for_url("**/sign-in")
