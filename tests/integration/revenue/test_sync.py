from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from actors.revenue.settings import get_revenue_settings
from actors.revenue.sync import revenuecat_sync, revenuecat_sync_all
from callboard import AuthenticationError, PermanentError, Run, TransientError
from callboard.run import enter_run
from sandbox.revenuecat import KEY, PROJECT, RevenueCatStandIn
from sandbox.revenuecat_objects import purchase, subscription
from tests.integration.revenue.kit import add_project, execute, one, properties
from tests.support import eventually

if TYPE_CHECKING:
    from callboard.testing import MemoryBroker

pytestmark = pytest.mark.usefixtures("revenuecat")


def sync(project: UUID | str) -> Run:
    run = Run(job="revenuecat_sync")
    enter_run(run)
    try:
        revenuecat_sync(str(project))
    finally:
        enter_run(None)
    return run


def path(user: str, part: str = "active_entitlements") -> str:
    return f"/v2/projects/{PROJECT}/customers/{user}/{part}"


def add_subscriber(revenuecat: RevenueCatStandIn, *names: str) -> None:
    for name in names:
        revenuecat.add_customer(name, entitlements=["entla1b2c3d4e5"], subscriptions=[subscription()])


SUBSCRIBER = {
    "rc_subscriber": "true",
    "rc_status": "active",
    "rc_will_renew": "true",
    "rc_entitlements": "premium",
    "rc_product": "com.example.premium.monthly",
    "rc_period_type": "normal",
    "rc_billing_period": "monthly",
    "rc_total_revenue_usd": "9.99",
    "total_revenue_usd_cents": "999",
    "attribution_source": "none",
}


def test_the_users_own_example(revenuecat: RevenueCatStandIn) -> None:
    users = [f"user-{number:03}" for number in range(45)]
    add_subscriber(revenuecat, *users[:38])
    project = add_project(users)

    run = sync(project)

    assert run.latest_progress == {"processed": 45, "total": 45, "message": "Synced 38 users, 7 skipped"}
    assert run.counts == {
        "total": 45,
        "synced": 38,
        "skipped": 7,
        "skipped_anonymous": 0,
        "active": 38,
        "inactive": 0,
        "not_found": 7,
        "errors": 0,
        "partial": 0,
    }
    assert run.notes == {"not_found_users": users[38:]}
    told = properties(project, "user-000")
    assert told.pop("revenue_synced_at")[:4].isdigit()
    assert told == SUBSCRIBER
    assert properties(project, "user-040") == {}


def test_progress_is_told_every_ten_users(revenuecat: RevenueCatStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, str]] = []
    monkeypatch.setattr(Run, "progress", lambda _run, *given: told.append(given))
    add_subscriber(revenuecat, *(f"u{number:02}" for number in range(22)))
    sync(add_project(f"u{number:02}" for number in range(25)))

    assert [message for *_, message in told] == [
        "Synced 0 users, 0 skipped",
        "Synced 10 users, 0 skipped",
        "Synced 20 users, 0 skipped",
        "Synced 22 users, 3 skipped",
    ]
    assert [done for done, *_ in told] == [0, 10, 20, 25]


def test_a_second_run_changes_nothing_but_the_time_and_keeps_what_others_wrote(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    revenuecat.add_customer("a", entitlements=["entla1b2c3d4e5"], subscriptions=[subscription()],
                            attributes={"$mediaSource": "Apple Search Ads", "$campaign": "Autumn"})  # fmt: skip
    project = add_project(["a"])
    execute("""update revenue.app_users set properties =
               '{"plan": "gold", "asa_campaign_name": "Mine", "rc_status": "billing_issue", "rc_gone": "1"}'""")

    before = [properties(project, "a") for _ in range(2) if sync(project)]

    first, second = ({name: value for name, value in one.items() if name != "revenue_synced_at"} for one in before)
    assert first == second
    assert first == SUBSCRIBER | {
        "plan": "gold",
        "asa_campaign_name": "Mine",
        "attribution_source": "apple_search_ads",
        "rc_gone": "1",
    }


def test_what_no_longer_holds_goes(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    project = add_project(["a"])
    sync(project)
    revenuecat.add_customer("a")

    sync(project)

    told = properties(project, "a")
    assert not {"rc_product", "rc_period_type", "rc_billing_period"} & set(told)
    assert (told["rc_subscriber"], told["rc_status"], told["rc_entitlements"]) == ("false", "expired", "")


def test_anonymous_users_are_not_asked_about(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    project = add_project(["$RCAnonymousID:0f3c", "a", "hidden"])
    execute("update revenue.app_users set is_anonymous = true where user_id = 'hidden'")

    run = sync(project)

    assert (run.counts["total"], run.counts["synced"], run.counts["skipped"]) == (2, 1, 1)
    assert run.counts["skipped_anonymous"] == 1
    assert not any("Anonymous" in asked or "hidden" in asked for asked, _ in revenuecat.requests)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_run(revenuecat: RevenueCatStandIn, status: int) -> None:
    add_subscriber(revenuecat, "a", "b", "c")
    project = add_project(["a", "b", "c"])
    revenuecat.fail(status=status, path=path("b"), times=None)
    run = Run(job="revenuecat_sync")
    enter_run(run)

    with pytest.raises(AuthenticationError, match=f"answered {status}"):
        revenuecat_sync(str(project))

    assert run.counts["synced"] == 1
    assert run.notes["aborted"] is True
    assert f"answered {status}" in run.notes["abort_reason"]
    assert KEY not in str(run.notes)
    assert properties(project, "c") == {}
    assert run.latest_progress == {"processed": 1, "total": 3, "message": "Synced 1 users, 0 skipped"}


def test_a_wrong_key_says_so_before_any_user(revenuecat: RevenueCatStandIn) -> None:
    with pytest.raises(AuthenticationError, match=r"answered 401.*make a secret key of API version 2"):
        sync(add_project(["a"], key="sk_wrong"))
    assert len(revenuecat.requests) == 1


def test_one_users_failure_does_not_stop_the_others(revenuecat: RevenueCatStandIn) -> None:
    users = [f"u{number:02}" for number in range(30)]
    add_subscriber(revenuecat, *users)
    project = add_project(users)
    for number, user in enumerate(users[:12]):
        revenuecat.fail(status=500 if number % 2 else 502, path=path(user), times=None)
    revenuecat.fail(reset=True, path=path("u12"), times=None)
    revenuecat.fail(malformed=True, path=path("u13"))

    run = sync(project)

    assert (run.counts["synced"], run.counts["skipped"], run.counts["errors"]) == (16, 14, 14)
    assert run.notes["error_status_counts"] == {"502": 6, "500": 6, "network": 1, "body": 1}
    assert run.notes["error_users"] == [*users[:10], "…and 4 more"]


def test_a_slow_answer_is_counted_as_a_timeout(revenuecat: RevenueCatStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_REVENUE_REVENUECAT_TIMEOUT_SECONDS", "0.2")
    get_revenue_settings.cache_clear()
    add_subscriber(revenuecat, "a", "b")
    revenuecat.fail(delay=30, path=path("a"))

    run = sync(add_project(["a", "b"]))

    assert (run.counts["synced"], run.counts["errors"]) == (1, 1)
    assert run.notes["error_status_counts"] == {"timeout": 1}


def test_what_a_project_does_not_have_is_left_alone(revenuecat: RevenueCatStandIn) -> None:
    """Both lists unavailable: revenue and status stay as they were, entitlements are written."""
    add_subscriber(revenuecat, "a")
    project = add_project(["a"])
    before = {"rc_total_revenue_usd": "7.00", "total_revenue_usd_cents": "700", "rc_status": "cancelled"}
    execute("update revenue.app_users set properties = cast(:p as jsonb)", p=str(before).replace("'", '"'))
    for part, status in (("subscriptions", 501), ("purchases", 405)):
        revenuecat.fail(status=status, path=path("a", part), times=None)

    run = sync(project)

    assert properties(project, "a") == before | {"rc_entitlements": "premium", "attribution_source": "none"}
    assert (run.counts["synced"], run.counts["partial"], run.counts["errors"]) == (1, 0, 0)


def test_purchases_that_fail_are_told_of_and_the_rest_is_written(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    project = add_project(["a"])
    revenuecat.fail(status=500, path=path("a", "purchases"), times=None)

    run = sync(project)

    assert run.notes["error_status_counts"] == {"500": 1}
    assert (run.counts["synced"], run.counts["partial"]) == (1, 1)
    assert properties(project, "a")["rc_status"] == "active"


def test_names_that_cannot_be_read_are_replaced_by_ids(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    project = add_project(["a"])
    revenuecat.fail(status=403, path=f"/v2/projects/{PROJECT}/products", times=None)
    revenuecat.fail(status=500, path=f"/v2/projects/{PROJECT}/entitlements", times=None)

    sync(project)

    told = properties(project, "a")
    assert (told["rc_product"], told["rc_entitlements"]) == ("prod_month", "entla1b2c3d4e5")


def test_a_text_that_postgres_does_not_hold_fails_one_user(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a", "b")
    revenuecat.add_customer("a", attributes={"$mediaSource": "Apple Search Ads", "$keyword": "nul\x00"})

    run = sync(add_project(["a", "b"]))

    assert (run.counts["synced"], run.counts["errors"]) == (1, 1)
    assert run.notes["error_status_counts"] == {"data": 1}


def test_a_cancelled_run_stops_at_the_next_user(revenuecat: RevenueCatStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [f"u{number:02}" for number in range(20)]
    add_subscriber(revenuecat, *users)
    project = add_project(users)
    run = Run(job="revenuecat_sync")
    enter_run(run)
    kept = revenuecat._lists

    def cancelling(name: str) -> dict[str, list[dict[str, object]]]:
        if name == "u03":
            run.request_cancel()
        return kept(name)

    monkeypatch.setattr(revenuecat, "_lists", cancelling)
    revenuecat_sync(str(project))

    assert run.cancel_was_seen
    assert run.notes == {"cancelled_at": 4}
    assert run.latest_progress == {"processed": 4, "total": 20, "message": "Synced 4 users, 0 skipped"}
    assert properties(project, "u04") == {}


def test_a_wait_for_the_rate_limit_ends_when_the_run_is_cancelled(
    revenuecat: RevenueCatStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_subscriber(revenuecat, "a")
    project, run = add_project(["a", "b"]), Run(job="revenuecat_sync")
    refused = {"type": "rate_limit_error", "retryable": True, "backoff_ms": 60_000}
    monkeypatch.setattr(revenuecat, "complaint", lambda *_: refused)
    revenuecat.fail(status=429, path=path("a"), times=None)

    def work() -> None:
        enter_run(run)
        revenuecat_sync(str(project))

    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: any(asked.startswith(path("a")) for asked, _ in revenuecat.requests))
    began = time.monotonic()
    run.request_cancel()
    worker.join(10)
    assert time.monotonic() - began < 5
    assert run.cancel_was_seen


def test_a_storm_of_429_is_waited_out(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a", "b")
    project = add_project(["a", "b"])
    for part in ("active_entitlements", "subscriptions", "purchases"):
        revenuecat.fail(status=429, path=path("a", part), times=2)

    run = sync(project)

    assert (run.counts["synced"], run.counts["errors"]) == (2, 0)


def test_a_storm_of_429_without_end_costs_some_calls_a_user_and_the_run_ends(revenuecat: RevenueCatStandIn) -> None:
    users = [f"u{number}" for number in range(4)]
    add_subscriber(revenuecat, *users)
    for user in users[:3]:
        revenuecat.fail(status=429, path=path(user), times=None)

    run = sync(add_project(users))

    assert (run.counts["synced"], run.counts["errors"]) == (1, 3)
    assert run.notes["error_status_counts"] == {"429": 3}
    assert len([asked for asked, _ in revenuecat.requests if asked.startswith(path("u0"))]) == 3


def test_a_provider_that_pages_for_ever_is_left_when_the_cursor_stands(revenuecat: RevenueCatStandIn) -> None:
    add_subscriber(revenuecat, "a")
    project = add_project(["a"])
    again = f"{path('a', 'subscriptions')}?starting_after=sub1"
    page = {"object": "list", "items": [subscription()], "next_page": again, "url": again}
    revenuecat.fail(answer=page, path=path("a", "subscriptions"), times=None)

    run = sync(project)

    assert run.counts["synced"] == 1
    assert len([asked for asked, _ in revenuecat.requests if "/subscriptions" in asked]) == 2


def test_a_project_without_integration_fails_and_says_so() -> None:
    project = add_project(["a"])
    execute("update revenue.integrations set enabled = false")
    with pytest.raises(PermanentError, match="RevenueCat integration not found or disabled"):
        sync(project)
    with pytest.raises(PermanentError, match="not found or disabled"):
        sync(uuid4())
    with pytest.raises(PermanentError, match="project_id='seven' is no project's id"):
        sync("seven")


def test_a_key_that_sees_no_project_aborts(revenuecat: RevenueCatStandIn) -> None:
    revenuecat.fail(answer={"object": "list", "items": [], "next_page": None, "url": "/v2/projects"})
    with pytest.raises(PermanentError, match="may see no project"):
        sync(add_project(["a"]))


def test_revenuecat_away_is_tried_again(revenuecat: RevenueCatStandIn) -> None:
    revenuecat.stop()
    with pytest.raises(TransientError, match="cannot be reached"):
        sync(add_project(["a"]))


def test_a_project_without_users_asks_nobody(revenuecat: RevenueCatStandIn) -> None:
    run = sync(add_project())
    assert (run.counts["total"], run.is_quiet, len(revenuecat.requests)) == (0, True, 0)


def test_the_key_is_sealed_and_found_again(revenuecat: RevenueCatStandIn) -> None:
    revenuecat.add_customer("a", purchases=[purchase()])
    project = add_project(["a"])
    kept = bytes(one("select api_key from revenue.integrations"))
    assert KEY.encode() not in kept
    assert sync(project).counts["synced"] == 1


def test_every_project_is_synced_each_day_but_those_that_run(callboard_broker: MemoryBroker) -> None:
    busy, idle = add_project(["a"]), add_project(["b"])
    deleted = add_project(["c"])
    execute("update revenue.projects set deleted_at = now() where id = :id", id=deleted)
    disabled = add_project(["d"])
    execute("update revenue.integrations set enabled = false where project_id = :id", id=disabled)
    revenuecat_sync.send(project_id=str(busy))
    run = Run(job="revenuecat_sync_all")
    enter_run(run)

    revenuecat_sync_all()

    assert run.counts == {"projects": 2, "started": 1, "already_running": 1}
    assert {message.kwargs["project_id"] for message in callboard_broker.sent} == {str(busy), str(idle)}


def test_nothing_to_fan_out_is_quiet(callboard_run: Run) -> None:
    revenuecat_sync_all()
    assert callboard_run.is_quiet
    assert callboard_run.counts == {"projects": 0, "started": 0, "already_running": 0}
