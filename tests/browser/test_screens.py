"""Every screen on real runs: nothing is thrown or breaks the policy, nothing sticks out, axe finds nothing serious."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe

from callboard.filters import parse
from callboard.operations import replays
from tests.browser.theatre import WHO
from tests.browser.visitor import DESK, LAPTOP, PHONE, TABLET, visiting
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.browser.theatre import Theatre
    from tests.browser.visitor import Visitor

pytestmark = pytest.mark.long

RUNS = "/admin/background_jobs"


@pytest.fixture(scope="module")
def admin(browser: Browser, theatre: Theatre) -> Iterator[Visitor]:
    """An admin who looks at one page after the other."""
    with visiting(browser, theatre, "anna@example.org") as visitor:
        visitor.expected = ("404 (Not Found)",)
        yield visitor


@pytest.fixture(scope="module")
def played(theatre: Theatre) -> dict[str, str]:
    """Runs of every state: failed for good with log lines, retried, completed, running, pending."""
    failed = [
        theatre.send(
            "webhook.deliver",
            delivery=f"wd_{n}",
            endpoint="https://hooks.acme.example/in",
            authorization="Bearer s3cr3t",
        )
        for n in range(1, 6)
    ]
    retried = theatre.send("siem_forwarding_job")
    completed = theatre.send("classify_emails")
    theatre.ended(*failed, retried, completed, theatre.send("threema_polling"))
    running = theatre.send("ingest_emails")
    project = theatre.send("revenuecat_sync", project_id=theatre.project)
    eventually(lambda: theatre.state(running) == "running" == theatre.state(project), 15, what="two running runs")
    theatre.board.broker.pause("social")
    pending = theatre.send("SyncInstagramProfileStories", account="acme")
    assert theatre.state(pending) == "pending"
    bulk = replays.start(parse("kind:transient", "dead_letters"), who=WHO, why="the network is back", rate=0.01)
    paths = {
        "bulk": f"/admin/dead_letters/bulk/{bulk}",
        "run": f"{RUNS}/runs/{failed[0]}",
        "retried": f"{RUNS}/runs/{retried}",
        "running": f"{RUNS}/runs/{running}",
        "completed": f"{RUNS}/runs/{completed}",
        "pending": f"{RUNS}/runs/{pending}",
        "team-run": f"/teams/revenue/runs/{project}",
    }
    return {"dashboard": RUNS, **paths, **PATHS}


PATHS = {
    "filtered": f"{RUNS}?q=state:failed%20job:webhook.*",
    "wrong-filter": f"{RUNS}?q=colour:red",
    "failures": f"{RUNS}/failures",
    "failure": f"{RUNS}/failures/1",
    "issues": "/admin/issues",
    "issue": "/admin/issues/1",
    "letters": "/admin/dead_letters",
    "letter": "/admin/dead_letters/1",
    "plan": "/admin/dead_letters/replay?q=kind:runtime",
    "discard": "/admin/dead_letters/discard?q=kind:runtime",
    "jobs": "/admin/jobs",
    "job": "/admin/jobs/webhook.deliver",
    "recurring-job": "/admin/jobs/siem_forwarding_job",
    "schedules": "/admin/schedules",
    "queues": "/admin/queues",
    "workers": "/admin/workers",
    "audit": "/admin/audit?q=-action:sign_in.*",
    "audit-of-nothing": "/admin/audit?q=who:nobody@example.org",
    "accounts": "/admin/accounts",
    "keys": "/admin/keys",
    "account": "/account",
    "team": "/teams/revenue",
    "missing": "/admin/issues/999999",
    "awaited": f"{RUNS}/runs/{UUID(int=0)}",
}
_NAMES = [
    "dashboard", "run", "retried", "running", "completed", "pending", "bulk", "team-run", *PATHS,
]  # fmt: skip


_AXE = Axe()
# The page and its tables: what of them reaches past its window or panel.
_CUT = """[document.documentElement, ...document.querySelectorAll("main .scroll")]
    .filter(one => one.scrollWidth > one.clientWidth)
    .map(one => `${one.getAttribute("aria-label") || "page"}: ${one.scrollWidth} px in ${one.clientWidth}`)"""


def _serious(visitor: Visitor) -> list[str]:
    found = _AXE.run(visitor.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", _NAMES)
def test_a_screen_is_sound(admin: Visitor, played: dict[str, str], name: str) -> None:
    page = admin.go(played[name])
    assert "Something went wrong" not in page.content()
    assert "s3cr3t" not in page.content()
    for look, size in (("light", DESK), ("dark", PHONE)):
        page.emulate_media(color_scheme=look)
        page.set_viewport_size(size)
        assert _serious(admin) == [], f"{look} {size['width']}"
    cut: dict[int, list[str]] = {}
    for size in (DESK, LAPTOP, TABLET, PHONE):
        page.set_viewport_size(size)
        cut[size["width"]] = page.evaluate(_CUT)
    assert not any(cut.values()), cut


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_way_in_is_sound(sign_in: Callable[..., Visitor], look: str) -> None:
    visitor = sign_in("", phone=look == "phone", dark=look == "dark")
    page = visitor.go("/admin/issues")
    assert page.url.endswith("/sign-in?next=/admin/issues")
    assert _serious(visitor) == []
    page.fill("#email", "vera@example.org")
    page.fill("#password", "correct horse battery staple")
    page.click("button.main")
    page.wait_for_url("**/admin/issues")
