"""The client against the stand-in, and the stand-in against the vendor's documented examples."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from actors.revenue.clients.revenuecat import CallFailed, CustomerMissing, RevenueCat, _retry_after
from actors.revenue.settings import RevenueSettings
from callboard import AuthenticationError
from sandbox.revenuecat import KEY, PROJECT, RevenueCatStandIn
from sandbox.revenuecat_objects import EPOCH, entitlement, purchase, subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOMER = "19b8de26-77c1-49f1-aa18-019a391603e2"
BASE = f"/v2/projects/{PROJECT}"


@pytest.fixture
def stand_in() -> Iterator[RevenueCatStandIn]:
    with RevenueCatStandIn() as revenuecat:
        yield revenuecat


class Waits(list[float]):
    """Keeps how long it was asked to wait, and does not."""

    def __call__(self, seconds: float) -> bool:
        self.append(seconds)
        return True


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def client(stand_in: RevenueCatStandIn, waits: Waits) -> Iterator[RevenueCat]:
    with client_for(stand_in, waits) as made:
        yield made


def client_for(stand_in: RevenueCatStandIn, waits: Waits, key: str = KEY, **given: float) -> RevenueCat:
    settings = RevenueSettings(revenuecat_url=f"{stand_in.url}/v2").model_copy(update=given)
    return RevenueCat(settings, key, wait=waits)


class TestClient:
    def test_projects_and_names(self, client: RevenueCat) -> None:
        assert client.projects() == [PROJECT]
        names = client.names(PROJECT)
        assert names.entitlements == {"entla1b2c3d4e5": "premium"}
        assert names.products["prod_month"] == "com.example.premium.monthly"

    def test_names_are_asked_for_once_in_a_while(self, stand_in: RevenueCatStandIn, waits: Waits) -> None:
        for _ in range(2):
            with client_for(stand_in, waits) as client:
                client.names(PROJECT)
        assert len(stand_in.requests) == 2
        with client_for(stand_in, waits, revenuecat_catalogue_seconds=0) as client:
            client.names("another project")
            client.names("another project")
        assert len(stand_in.requests) == 6

    @pytest.mark.parametrize("name", ["a/b", "ü?&#", "100%", "%2F", "$RCAnonymousID:1", "a b"])
    def test_ids_are_encoded(self, stand_in: RevenueCatStandIn, client: RevenueCat, name: str) -> None:
        stand_in.add_customer(name, purchases=[purchase()])
        found, failed = client.customer(PROJECT, name)
        assert failed == []
        assert found.purchases is not None
        assert found.purchases[0]["customer_id"] == name

    def test_lists_are_read_to_their_end(self, stand_in: RevenueCatStandIn, client: RevenueCat) -> None:
        stand_in.entitlements = [entitlement(f"e{n}", f"key {n}") for n in range(250)]
        assert len(client.names(PROJECT).entitlements) == 250
        assert len([asked for asked, _ in stand_in.requests if "/entitlements" in asked]) == 3

    def test_pages_for_ever_end_when_the_cursor_comes_back(
        self, stand_in: RevenueCatStandIn, client: RevenueCat
    ) -> None:
        """a, b, a, b, ..., which a look at the last cursor alone would not see."""
        stand_in.add_customer("c")
        for cursor in ("a", "b", "a", "b"):
            answer = {"object": "list", "items": [subscription(cursor)], "next_page": f"/x?starting_after={cursor}"}
            stand_in.fail(answer=answer, path=f"{BASE}/customers/c/subscriptions")
        found, _ = client.customer(PROJECT, "c")
        assert [one["id"] for one in found.subscriptions or ()] == ["a", "b", "a"]

    def test_cursors_that_always_move_end_at_the_page_limit(self, stand_in: RevenueCatStandIn, waits: Waits) -> None:
        stand_in.add_customer("c")
        for number in range(9):
            answer = {"object": "list", "items": [], "next_page": f"/x?starting_after={number}"}
            stand_in.fail(answer=answer, path=f"{BASE}/customers/c/purchases")
        with client_for(stand_in, waits, revenuecat_page_limit=5) as client:
            found, failed = client.customer(PROJECT, "c")
        assert found.purchases is None
        assert [error.status for error in failed] == ["pages"]

    def test_the_key_goes_nowhere_else(self, stand_in: RevenueCatStandIn, client: RevenueCat) -> None:
        """The next page's host is not followed."""
        with RevenueCatStandIn() as other:
            answer = {"object": "list", "items": [], "next_page": f"{other.url}/v2/projects?starting_after=1"}
            stand_in.fail(answer=answer)
            with pytest.raises(CallFailed, match="400"):  # the cursor is not known here
                client.projects()
            assert not other.requests

    def test_backoff_ms_is_trusted(self, stand_in: RevenueCatStandIn, client: RevenueCat, waits: Waits) -> None:
        stand_in.fail(status=429, retry_after=7)
        assert client.projects() == [PROJECT]
        assert waits == [0.02]

    def test_a_call_that_may_be_repeated_is(self, stand_in: RevenueCatStandIn, client: RevenueCat) -> None:
        stand_in.fail(status=423)
        assert client.projects() == [PROJECT]
        stand_in.fail(status=502)
        with pytest.raises(CallFailed, match="502"):
            client.projects()

    def test_tries_and_waits_have_their_limits(self, stand_in: RevenueCatStandIn, waits: Waits) -> None:
        stand_in.fail(status=429, times=None)
        made = client_for(stand_in, waits, revenuecat_tries=4, revenuecat_longest_wait_seconds=0.01)
        with made as client, pytest.raises(CallFailed) as raised:
            client.projects()
        assert raised.value.status == "429"
        assert waits == [0.01] * 3

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("5", 5), ("1000", 1000), ("1001", 1.001), ("30000", 30), ("", 1), ("soon", 1), ("-1", 1), ("nan", 1)],
    )
    def test_a_great_retry_after_is_in_milliseconds(self, text: str, seconds: float) -> None:
        assert _retry_after(text) == seconds

    def test_retry_after_without_a_body(self, stand_in: RevenueCatStandIn, client: RevenueCat, waits: Waits) -> None:
        stand_in.fail(status=429, retry_after=2500, malformed=True)
        client.projects()
        assert waits == [2.5]

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_key_names_the_mend(self, stand_in: RevenueCatStandIn, client: RevenueCat, status: int) -> None:
        stand_in.fail(status=status)
        with pytest.raises(AuthenticationError, match="make a secret key of API version 2") as raised:
            client.projects()
        assert KEY not in str(raised.value)

    def test_an_unknown_customer(self, client: RevenueCat) -> None:
        with pytest.raises(CustomerMissing, match="Could not find the customer nobody"):
            client.customer(PROJECT, "nobody")


class TestStandIn:
    """What the vendor's pages show: lists, errors, headers."""

    @pytest.fixture
    def http(self, stand_in: RevenueCatStandIn) -> Iterator[httpx.Client]:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=stand_in.url, headers=headers) as client:
            yield client

    def test_a_customer_as_documented(self, stand_in: RevenueCatStandIn, http: httpx.Client) -> None:
        stand_in.add_customer(CUSTOMER, entitlements=["entla1b2c3d4e5"], attributes={"$email": "garfield@example.org"})
        told = http.get(f"{BASE}/customers/{CUSTOMER}").json()
        assert told["object"] == "customer"
        assert (told["id"], told["project_id"], told["first_seen_at"]) == (CUSTOMER, PROJECT, EPOCH)
        assert told["active_entitlements"]["object"] == "list"
        assert "attributes" not in told
        told = http.get(f"{BASE}/customers/{CUSTOMER}", params={"expand": "attributes"}).json()
        assert told["attributes"]["items"] == [
            {"object": "customer.attribute", "name": "$email", "value": "garfield@example.org", "updated_at": EPOCH}
        ]

    def test_a_list_as_documented(self, stand_in: RevenueCatStandIn, http: httpx.Client) -> None:
        path = f"{BASE}/customers/c/active_entitlements"
        stand_in.add_customer("c", entitlements=["entl1", "entl2", "entl3"])
        told = http.get(path, params={"limit": 2}).json()
        assert (told["object"], told["url"], len(told["items"])) == ("list", path, 2)
        assert told["next_page"] == f"{path}?starting_after=entl2"
        rest = http.get(told["next_page"]).json()
        assert ([one["entitlement_id"] for one in rest["items"]], rest["next_page"]) == (["entl3"], None)
        assert {"object": "customer.active_entitlement", "entitlement_id": "entl3"}.items() <= rest["items"][0].items()

    def test_a_subscription_as_documented(self, stand_in: RevenueCatStandIn, http: httpx.Client) -> None:
        stand_in.add_customer("c", subscriptions=[subscription(usd=10)], purchases=[purchase()])
        (told,) = http.get(f"{BASE}/customers/c/subscriptions").json()["items"]
        assert (told["object"], told["id"], told["customer_id"]) == ("subscription", "sub1ab2c3d4e5", "c")
        assert told["total_revenue_in_usd"] == {
            "currency": "USD",
            "gross": 10,
            "commission": 1.5,
            "tax": 0.0,
            "proceeds": 8.5,
        }
        assert told["current_period_ends_at"] - told["current_period_starts_at"] == 30 * 86_400_000
        (bought,) = http.get(f"{BASE}/customers/c/purchases").json()["items"]
        assert (bought["object"], bought["status"]) == ("purchase", "owned")

    def test_the_rate_limit_as_documented(self, http: httpx.Client) -> None:
        with RevenueCatStandIn(most_a_minute=2) as strict:
            strict.add_customer("c")
            answers = [httpx.get(f"{strict.url}{BASE}/customers/c", headers=http.headers) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        names = ("RevenueCat-Rate-Limit-Current-Usage", "RevenueCat-Rate-Limit-Current-Limit")
        assert [answers[1].headers[name] for name in names] == ["2", "2"]
        told = answers[2].json()
        assert 50_000 < told.pop("backoff_ms") <= 60_000
        assert told == {
            "object": "error",
            "type": "rate_limit_error",
            "message": "Rate limit exceeded",
            "retryable": True,
            "doc_url": "https://errors.rev.cat/rate-limit-error",
        }

    @pytest.mark.parametrize(
        ("path", "headers", "status", "kind"),
        [
            ("/v2/projects", {"Authorization": "Bearer wrong"}, 401, "authentication_error"),
            ("/v2/projects/other/customers", {}, 403, "authorization_error"),
            (f"{BASE}/customers/nobody", {}, 404, "resource_missing"),
            (f"{BASE}/nothing", {}, 404, "resource_missing"),
            (f"{BASE}/products?starting_after=no", {}, 400, "parameter_error"),
        ],
    )
    def test_refusals_as_documented(
        self, http: httpx.Client, path: str, headers: dict[str, str], status: int, kind: str
    ) -> None:
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["type"], answer.json()["retryable"]) == (status, kind, False)

    @pytest.mark.parametrize(("status", "kind"), [(423, "resource_locked_error"), (500, "server_error"),
                                                  (503, "store_error")])  # fmt: skip
    def test_faults_have_the_vendors_form(
        self, stand_in: RevenueCatStandIn, http: httpx.Client, status: int, kind: str
    ) -> None:
        stand_in.fail(status=status)
        told = http.get("/v2/projects").json()
        assert (told["type"], told["retryable"]) == (kind, True)
        assert told["backoff_ms"] > 0

    def test_everyone_is_known_but_one_in_six_and_always_the_same(self) -> None:
        kinds: set[str] = set()
        with RevenueCatStandIn(everyone=True, most_a_minute=10_000) as made:
            headers = {"Authorization": f"Bearer {KEY}"}
            with httpx.Client(base_url=made.url, headers=headers) as http:
                told = [http.get(f"{BASE}/customers/user-{n}/subscriptions") for n in range(120)]
                again = http.get(f"{BASE}/customers/user-7/subscriptions")
        missing = [one.status_code for one in told].count(404)
        assert 8 <= missing <= 32
        assert again.content == told[7].content
        for one in told:
            kinds |= {item["status"] for item in one.json().get("items", ())}
        assert kinds == {"active", "trialing", "expired"}

    def test_the_command_says_where_it_serves(self) -> None:
        command = [sys.executable, "-m", "sandbox.revenuecat", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            told = httpx.get(f"{url}/projects", headers={"Authorization": f"Bearer {KEY}"}).json()
            assert told["items"][0]["id"] == PROJECT
            process.terminate()
