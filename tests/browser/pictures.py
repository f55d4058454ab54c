"""Pictures of the console for the documents: `python -m tests.browser.pictures [--only dashboard] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from callboard.accounts.principal import Principal, load
from callboard.embedded import EmbeddedServers
from callboard.filters import parse
from callboard.job import all_jobs
from callboard.ledger import migrate
from callboard.ledger.database import transaction
from callboard.operations import accounts, issues, replays
from callboard.views.replays import get
from observability import logs
from tests.browser import history
from tests.browser.chromium import open_browser
from tests.browser.theatre import WHO, open_theatre
from tests.browser.visitor import visiting
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser.theatre import Theatre

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "docs/img/console"
RUNS = "/admin/background_jobs"


_TOLD = """
select least((select count(*) from board.runs where progress is not null), (select sum(busy) from board.workers))
"""


class Shot(NamedTuple):
    """One picture."""

    name: str
    path: str
    dark: bool = True
    phone: bool = False
    click: str = ""
    who: str = "anna@example.org"


def main() -> int:
    """Set the stage, and take all pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.pictures", description=__doc__)
    parser.add_argument("--only", default="", help="names with this text in them")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    logs.configure(format="text", level="info", service="pictures", stream=io.StringIO())
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
        where = servers.start()
        migrate.upgrade(where.database_url)
        with (
            pytest.MonkeyPatch.context() as patch,
            open_theatre(patch, where.database_url, where.broker_url) as theatre,
            theatre.board.worker(threads=4),
            open_browser() as browser,
        ):
            for shot in _stage(theatre):
                if given.only in shot.name:
                    _take(browser, theatre, shot, given.out)
    return 0


def _stage(theatre: Theatre) -> Iterator[Shot]:
    """Let a night happen, and the morning after it."""
    failed = [
        theatre.send(
            "webhook.deliver", delivery=f"wd_{n}1", endpoint=f"https://hooks.{who}.example/in", authorization="Bearer x"
        )
        for n in range(6)
        for who in ("acme", "initech", "hooli")
    ]
    told = [theatre.send("SyncInstagramProfileStories", account=f"studio_{n}", access_token="x") for n in range(4)]
    counted = theatre.send("classify_emails")
    theatre.ended(*failed, *told, counted, theatre.send("threema_polling"))
    retried = theatre.send("siem_forwarding_job")
    theatre.ended(retried)
    history.play({name: job.spec.queue for name, job in all_jobs().items()})
    hidden = "update board.failures set traceback = replace(traceback, :root, '/srv/app')"
    theatre.board.execute(hidden, root=str(ROOT))
    running = [
        theatre.send("ingest_emails"),
        theatre.send("revenuecat_sync", project_id=theatre.project),
        theatre.send("backup"),
    ]
    eventually(lambda: all(theatre.state(run) == "running" for run in running), 20, what="three running runs")
    theatre.board.broker.pause("social")
    waiting = theatre.send("SyncInstagramProfileStories", account="studio_9")
    me = _anna(theatre)
    accounts.create_key(me, "nightly report", ["jobs:read"], who=WHO, expires_in=timedelta(days=90))
    issues.take(theatre.board.one("select min(id) from board.issues"), who=me.who(), why="the customer was told")
    theatre.board.execute(
        "update board.schedules set paused_at = now() - interval '2 h', paused_by = 'cli:anna' where job = 'compact'"
    )
    eventually(lambda: theatre.board.one(_TOLD) >= len(running), 15, what="progress, and a heartbeat that tells of it")
    yield from _shots(theatre, retried, running[0], waiting, counted)
    yield from _bulk_replay(theatre, me)


def _bulk_replay(theatre: Theatre, me: Principal) -> Iterator[Shot]:
    """The endpoints are mended, and their letters replayed, as slowly as they ask for."""
    theatre.jobs.MENDED.set()
    chosen = parse("job:webhook.*", "dead_letters")
    number = replays.start(chosen, who=me.who(), why="the endpoints are mended", rate=1)
    eventually(lambda: get(number).replayed > 4, 20, what="the first letters of the bulk replay")
    yield Shot("dead-letters-bulk", f"/admin/dead_letters/bulk/{number}")
    replays.stop(number, who=me.who(), why="that was enough")
    eventually(lambda: get(number).over, 20, what="the end of the bulk replay")
    yield Shot("audit-light", "/admin/audit?q=since:today%20-action:sign_in.*", dark=False)


def _anna(theatre: Theatre) -> Principal:
    """Anna, as if she had signed in."""
    with transaction() as connection:
        found = load(connection, theatre.people["anna@example.org"])
    assert found is not None
    return found


def _shots(theatre: Theatre, retried: str, running: str, waiting: str, counted: str) -> list[Shot]:
    letter = theatre.board.one("select max(id) from board.dead_letters where job = 'webhook.deliver'")
    issue = theatre.board.one("select issue_id from board.dead_letters where id = :id", id=letter)
    failure = theatre.board.one("select max(id) from board.failures where job = 'siem_forwarding_job'")
    return [
        Shot("dashboard-dark", RUNS),
        Shot("dashboard-light", RUNS, dark=False),
        Shot("dashboard-phone", RUNS, phone=True),
        Shot("run-failed", f"{RUNS}/runs/{retried}"),
        Shot("run-running-light", f"{RUNS}/runs/{running}", dark=False),
        Shot("run-waiting", f"{RUNS}/runs/{waiting}"),
        Shot("run-completed", f"{RUNS}/runs/{counted}"),
        Shot("failures", f"{RUNS}/failures"),
        Shot("failure-light", f"{RUNS}/failures/{failure}", dark=False),
        Shot("issues", "/admin/issues"),
        Shot("issue", f"/admin/issues/{issue}"),
        Shot("dead-letters", "/admin/dead_letters"),
        Shot("dead-letters-replay", "/admin/dead_letters?q=job:webhook.*", click="text=Replay all"),
        Shot("dead-letter-light", f"/admin/dead_letters/{letter}", dark=False),
        Shot("dead-letters-phone", "/admin/dead_letters", phone=True),
        Shot("jobs", "/admin/jobs"),
        Shot("job-light", "/admin/jobs/siem_forwarding_job", dark=False),
        Shot("schedules", "/admin/schedules"),
        Shot("schedules-light", "/admin/schedules", dark=False),
        Shot("queues", "/admin/queues"),
        Shot("workers", "/admin/workers"),
        Shot("accounts-light", "/admin/accounts", dark=False),
        Shot("keys", "/admin/keys"),
        Shot("account-light", "/account", dark=False),
        Shot("team-light", "/teams/revenue", dark=False, who="tess@example.org"),
        Shot("filter-help", RUNS, click="button[popovertarget=filter-help]"),
        Shot("run-phone", f"{RUNS}/runs/{retried}", phone=True),
        Shot("sign-in", "/sign-in", dark=False, who=""),
    ]


def _take(browser: Browser, theatre: Theatre, shot: Shot, out: Path) -> None:
    with visiting(browser, theatre, shot.who, phone=shot.phone, dark=shot.dark) as visitor:
        if shot.phone:
            visitor.page.set_viewport_size({"width": 390, "height": 1500})
        page = visitor.go(shot.path)
        if shot.who:
            page.wait_for_selector(".live[data-state=live]", state="attached")
        if shot.click:
            page.click(shot.click)
            page.wait_for_selector("dialog[open], :popover-open")
        _settle(page)
        page.screenshot(path=out / f"{shot.name}.png", scale="css")
    sys.stdout.write(f"{shot.name}\n")


def _settle(page: Page) -> None:
    """Two frames, so that what was drawn is on the screen."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


if __name__ == "__main__":
    sys.exit(main())
