"""Section by section, the rules of what is kept of a user."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.revenue.properties import (
    Change,
    Customer,
    Names,
    attribution,
    billing_period,
    change,
    entitlement_names,
    is_lifetime,
    period_name,
    period_type,
    primary,
    product,
    status,
    total_cents,
    will_renew,
)
from sandbox.revenuecat_objects import (
    DAY,
    EPOCH,
    active_entitlement,
    customer_attribute,
    money,
    page,
    purchase,
    subscription,
)

NOW = datetime(2026, 2, 28, 12, tzinfo=UTC)
NAMES = Names({"entl1": "pro"}, {"prod_month": "com.example.monthly", "prod_life": "com.example.lifetime"})
STATUSES = ["trialing", "active", "expired", "in_grace_period", "grace_period", "in_billing_retry", "paused",
            "unknown", "incomplete", "cancelled", "never heard of"]  # fmt: skip
Items = list[dict[str, Any]] | None
ENDED: dict[str, Any] = {"status": "expired", "gives_access": False, "auto_renewal_status": "will_not_renew"}


def told(*, entitled: bool = False, subscriptions: Items = None, purchases: Items = None) -> dict[str, str]:
    return changed(entitled=entitled, subscriptions=subscriptions, purchases=purchases).written


def changed(*, entitled: bool = False, subscriptions: Items = None, purchases: Items = None) -> Change:
    active = [active_entitlement("entl1")] if entitled else []
    return change(Customer(active, subscriptions, purchases, None), NAMES, now=NOW)


class TestSubscriber:
    @pytest.mark.parametrize(
        ("entitled", "renewal", "expected"),
        [
            (True, "will_renew", "true"),
            (True, "will_not_renew", "false"),
            (True, "will_pause", "true"),
            (False, "will_renew", "false"),
            (False, "will_not_renew", "false"),
        ],
    )
    def test_entitled_and_will_renew(self, *, entitled: bool, renewal: str, expected: str) -> None:
        found = told(entitled=entitled, subscriptions=[subscription(auto_renewal_status=renewal)], purchases=[])
        assert found["rc_subscriber"] == expected

    def test_a_cancelled_trial_is_none(self) -> None:
        trial = subscription(status="trialing", auto_renewal_status="will_not_renew", days=7)
        found = told(entitled=True, subscriptions=[trial], purchases=[])
        assert (found["rc_subscriber"], found["rc_status"], found["rc_will_renew"]) == ("false", "trialing", "false")

    def test_a_lifetime_purchase_makes_one_without_renewal(self) -> None:
        for subscriptions in ([], [subscription(**ENDED)]):
            found = told(entitled=True, subscriptions=subscriptions, purchases=[purchase()])
            assert (found["rc_subscriber"], found["rc_will_renew"]) == ("true", "false")

    def test_coins_beside_a_subscription_change_nothing(self) -> None:
        coins = purchase(product_id="coins", entitlements=page([], "/", {}))
        found = told(entitled=True, subscriptions=[subscription()], purchases=[coins, purchase()])
        assert (found["rc_subscriber"], found["rc_will_renew"]) == ("true", "true")
        assert not is_lifetime([], [coins])

    def test_a_refunded_purchase_counts_for_nothing(self) -> None:
        found = told(subscriptions=[], purchases=[purchase(status="refunded")])
        assert (found["rc_subscriber"], found["rc_status"]) == ("false", "expired")
        assert "rc_product" not in found


class TestStatus:
    @pytest.mark.parametrize("given", STATUSES)
    def test_of_the_primary_subscription(self, given: str) -> None:
        same = {"trialing": "trialing", "cancelled": "cancelled", "active": "active"}
        grace = {"in_grace_period": "active", "grace_period": "active"}
        for entitled in (True, False):
            assert status(subscription(status=given), entitled=entitled) == (same | grace).get(given, "expired")

    def test_without_a_subscription(self) -> None:
        assert status(None, entitled=True) == "active"
        assert status(None, entitled=False) == "expired"


class TestPrimary:
    @given(
        st.lists(
            st.tuples(st.sampled_from(STATUSES), st.booleans(), st.integers(0, 10**13), st.integers(1, 400)),
            min_size=1,
            max_size=6,
        )
    )
    def test_the_newest_of_those_that_give_access_or_live_else_of_all(
        self, rows: list[tuple[str, bool, int, int]]
    ) -> None:
        made = [
            subscription(f"s{n}", status=word, gives_access=gives, current_period_starts_at=start, days=days)
            for n, (word, gives, start, days) in enumerate(rows)
        ]
        first = primary(made)
        assert first is not None
        live = [one for one in made if one["gives_access"] or one["status"] in (
            "trialing", "active", "in_grace_period", "grace_period")]  # fmt: skip
        rivals = live or made
        assert first in rivals
        assert first["current_period_starts_at"] == max(one["current_period_starts_at"] for one in rivals)

    def test_none_of_none(self) -> None:
        assert primary([]) is None


class TestRenewal:
    @pytest.mark.parametrize(
        "word",
        ["will_renew", "will_change_product", "will_pause", "requires_price_increase_consent", "has_already_renewed"],
    )
    def test_true_for_all_but_one_word(self, word: str) -> None:
        assert will_renew(subscription(auto_renewal_status=word), lifetime=False)
        assert not will_renew(subscription(auto_renewal_status=word), lifetime=True)

    def test_false_for_it_and_true_for_none(self) -> None:
        assert not will_renew(subscription(auto_renewal_status="will_not_renew"), lifetime=False)
        assert will_renew(None, lifetime=False)


class TestNames:
    def test_entitlements_are_joined_by_their_keys_or_ids(self) -> None:
        found = [active_entitlement("entl2"), active_entitlement("entl1"), active_entitlement("entl1")]
        assert entitlement_names(found, NAMES) == "entl2,pro"
        assert entitlement_names(found, Names()) == "entl1,entl2"
        assert entitlement_names([], NAMES) == ""

    def test_the_product_is_the_subscriptions_else_the_first_purchases(self) -> None:
        late, early = purchase("late", purchased_at=EPOCH + 1), purchase("early", product_id="other")
        assert product(subscription(), [early], NAMES) == "com.example.monthly"
        assert product(None, [late, early], NAMES) == "other"
        assert product(None, [late], NAMES) == "com.example.lifetime"
        assert product(subscription(product_id=None), [late], NAMES) == "com.example.lifetime"  # a promotional one
        assert product(None, [], NAMES) == ""


class TestPeriodType:
    @pytest.mark.parametrize(
        ("word", "days", "expected"),
        [
            ("trialing", 7, "trial"),
            ("trialing", 365, "trial"),
            ("active", 7, "normal"),
            ("in_grace_period", 3, "normal"),
            ("grace_period", 3, "normal"),
            ("expired", 15.9, "trial"),
            ("expired", 16, "normal"),
            ("cancelled", 7, "trial"),
            ("cancelled", 30, "normal"),
        ],
    )
    def test_of_a_subscription(self, word: str, days: float, expected: str) -> None:
        assert period_type(subscription(status=word, days=days), [purchase()], entitled=True) == expected

    def test_without_a_subscription(self) -> None:
        assert period_type(None, [purchase()], entitled=True) == "lifetime"
        assert period_type(None, [], entitled=True) == "promotional"
        assert period_type(None, [], entitled=False) == ""

    def test_an_ended_one_without_an_end_was_no_trial(self) -> None:
        assert period_type(subscription(status="paused", current_period_ends_at=None), [], entitled=False) == "normal"


class TestBillingPeriod:
    LIMITS = ((10, "weekly"), (20, "two_weeks"), (40, "monthly"), (70, "two_months"), (100, "three_months"),
              (200, "six_months"), (400, "yearly"))  # fmt: skip

    @given(st.floats(0, 4000))
    def test_every_length_has_the_name_of_the_first_limit_above_it(self, days: float) -> None:
        expected = "lifetime"
        for limit, name in reversed(self.LIMITS):
            expected = name if days < limit else expected
        assert period_name(days) == expected

    @pytest.mark.parametrize(("limit", "name"), LIMITS)
    def test_the_limits_themselves(self, limit: int, name: str) -> None:
        just_below = subscription(current_period_starts_at=EPOCH, current_period_ends_at=EPOCH + limit * DAY - 1)
        assert billing_period(just_below, []) == name
        assert billing_period(subscription(days=limit), []) != name

    @pytest.mark.parametrize(
        ("start", "end"), [("2024-02-01", "2024-03-01"), ("2026-02-01", "2026-03-01"), ("2026-07-01", "2026-08-01")]
    )
    def test_a_month_is_monthly_in_leap_years_too(self, start: str, end: str) -> None:
        ends = [int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000) for day in (start, end)]
        given = {"current_period_starts_at": ends[0], "current_period_ends_at": ends[1]}
        assert billing_period(subscription(**given), []) == "monthly"

    def test_a_purchase_is_for_life_and_nothing_has_no_period(self) -> None:
        assert billing_period(None, [purchase()]) == "lifetime"
        assert billing_period(None, []) == billing_period(subscription(current_period_ends_at=None), []) == ""


class TestRevenue:
    @given(st.lists(st.integers(-(10**7), 10**9), max_size=20), st.lists(st.integers(0, 10**9), max_size=20))
    def test_the_sum_is_exact_to_the_cent(self, subs: list[int], bought: list[int]) -> None:
        """Floats of cents, whose own sum would drift."""
        made = [subscription(total_revenue_in_usd=money(cents / 100)) for cents in subs]
        made += [purchase(revenue_in_usd=money(cents / 100)) for cents in bought]
        assert total_cents(made) == sum(subs) + sum(bought)

    def test_written_in_three_forms(self) -> None:
        found = told(subscriptions=[subscription(usd=0.1), subscription(usd=0.2)], purchases=[purchase(usd=1.005)])
        assert found["rc_total_revenue_usd"] == "1.31"
        assert found["total_revenue_usd_cents"] == "131"
        assert found["revenue_synced_at"] == "2026-02-28T12:00:00+00:00"

    def test_untouched_only_if_both_are_unknown(self) -> None:
        names = {"rc_total_revenue_usd", "total_revenue_usd_cents", "revenue_synced_at"}
        neither = changed(entitled=True)
        assert not names & (set(neither.written) | set(neither.removed))
        assert told(subscriptions=[subscription()])["rc_total_revenue_usd"] == "9.99"
        assert told(purchases=[purchase()])["rc_total_revenue_usd"] == "99.00"

    @pytest.mark.parametrize("gross", [None, "much", float("nan"), {}])
    def test_what_is_no_amount_counts_nothing(self, gross: object) -> None:
        assert total_cents([subscription(total_revenue_in_usd={"gross": gross}), purchase(usd=1)]) == 100


class TestAttribution:
    def test_apple_search_ads_have_their_names(self) -> None:
        given = {"$mediaSource": "Apple Search Ads", "$campaign": "C", "$adGroup": "G", "$ad": "A", "$keyword": "K",
                 "$email": "x@example.org"}  # fmt: skip
        assert attribution([customer_attribute(*one) for one in given.items()]) == {
            "attribution_source": "apple_search_ads",
            "asa_campaign_name": "C",
            "asa_ad_group_name": "G",
            "asa_ad_name": "A",
            "asa_keyword": "K",
        }

    def test_absent_is_none_and_others_are_not_told_of(self) -> None:
        assert attribution([]) == {"attribution_source": "none"}
        assert attribution([customer_attribute("$mediaSource", "Facebook Ads")]) == {}


def test_what_was_not_read_is_neither_written_nor_removed() -> None:
    found = changed(entitled=True)
    assert found == Change({"rc_entitlements": "pro"}, (), {})


def test_what_holds_no_longer_is_removed() -> None:
    found = changed(subscriptions=[], purchases=[])
    assert set(found.removed) == {"rc_product", "rc_period_type", "rc_billing_period"}
    assert found.written["rc_subscriber"] == "false"
