"""What RevenueCat knows of a customer, as the texts that are kept of an app's user. Rules only: nothing is asked here.

Times are milliseconds since 1970, as RevenueCat sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

Item = dict[str, Any]

_DAY = 86_400_000.0
_TRIAL_DAYS = 16
_GRACE = ("in_grace_period", "grace_period")
_LIVE = ("trialing", "active", *_GRACE)
_STATUS = {"trialing": "trialing", "cancelled": "cancelled", **dict.fromkeys(("active", *_GRACE), "active")}
_PERIODS = (
    (10, "weekly"),
    (20, "two_weeks"),
    (40, "monthly"),
    (70, "two_months"),
    (100, "three_months"),
    (200, "six_months"),
    (400, "yearly"),
)
_APPLE_SEARCH_ADS = "Apple Search Ads"
_ASA = {
    "asa_campaign_name": "$campaign",
    "asa_ad_group_name": "$adGroup",
    "asa_ad_name": "$ad",
    "asa_keyword": "$keyword",
}

_OF_SUBSCRIPTIONS = (
    "rc_subscriber",
    "rc_status",
    "rc_will_renew",
    "rc_product",
    "rc_period_type",
    "rc_billing_period",
)
_OF_MONEY = ("rc_total_revenue_usd", "total_revenue_usd_cents", "revenue_synced_at")


@dataclass(frozen=True, slots=True)
class Names:
    """What RevenueCat's ids are called: entitlements by their lookup key, products by the store's identifier."""

    entitlements: Mapping[str, str] = field(default_factory=dict)
    products: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """What was read of a customer; None where RevenueCat did not tell."""

    entitlements: Sequence[Item]
    subscriptions: Sequence[Item] | None
    purchases: Sequence[Item] | None
    attributes: Sequence[Item] | None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a user's properties: `written` overwrite, `removed` go, `filled` only take empty places."""

    written: dict[str, str]
    removed: tuple[str, ...]
    filled: dict[str, str]


def change(customer: Customer, names: Names, *, now: datetime) -> Change:
    """All that follows from what was read. What depends on something unread is neither written nor removed."""
    written = {"rc_entitlements": entitlement_names(customer.entitlements, names)}
    owned: tuple[str, ...] = ()
    if customer.subscriptions is not None:
        owned += _OF_SUBSCRIPTIONS
        written |= _of_subscriptions(customer, customer.subscriptions, names)
    if customer.subscriptions is not None or customer.purchases is not None:
        owned += _OF_MONEY
        written |= _of_money([*(customer.subscriptions or ()), *(customer.purchases or ())], now)
    gone = tuple(name for name in owned if name not in written)
    return Change(written, gone, {} if customer.attributes is None else attribution(customer.attributes))


def _of_subscriptions(customer: Customer, subscriptions: Sequence[Item], names: Names) -> dict[str, str]:
    entitled, first = bool(customer.entitlements), primary(subscriptions)
    owned = [one for one in customer.purchases or () if _is_owned(one)]
    lifetime = is_lifetime(subscriptions, owned)
    renews = will_renew(first, lifetime=lifetime)
    told = {
        "rc_subscriber": _word(entitled and (renews or lifetime)),
        "rc_status": status(first, entitled=entitled),
        "rc_will_renew": _word(renews),
        "rc_product": product(first, owned, names),
        "rc_period_type": period_type(first, owned, entitled=entitled),
        "rc_billing_period": billing_period(first, owned),
    }
    return {name: value for name, value in told.items() if value}


def _of_money(items: Iterable[Item], now: datetime) -> dict[str, str]:
    cents = total_cents(items)
    return {
        "rc_total_revenue_usd": f"{Decimal(cents) / 100:.2f}",
        "total_revenue_usd_cents": str(cents),
        "revenue_synced_at": now.isoformat(),
    }


def primary(subscriptions: Sequence[Item]) -> Item | None:
    """The subscription that speaks for the customer.

    Among those that give access or are trialing, active or in grace, else among all: the newest current period.
    """
    live = [one for one in subscriptions if one.get("gives_access") or one.get("status") in _LIVE]
    return max(live or subscriptions, key=lambda one: _number(one.get("current_period_starts_at")), default=None)


def status(first: Item | None, *, entitled: bool) -> str:
    """`trialing`, `cancelled`, `active` or `expired`."""
    if first is None:
        return "active" if entitled else "expired"
    return _STATUS.get(str(first.get("status")), "expired")


def is_lifetime(subscriptions: Sequence[Item], owned: Sequence[Item]) -> bool:
    """Whether a one-time purchase gives access, and no subscription does.

    One that is known to give no entitlement, such as a pack of coins, gives no access.
    """
    gives = any(items(one.get("entitlements")) for one in owned) or any("entitlements" not in one for one in owned)
    return gives and not any(one.get("gives_access") for one in subscriptions)


def will_renew(first: Item | None, *, lifetime: bool) -> bool:
    """False only for a subscription that will not renew, or a lifetime purchase."""
    return not (lifetime or (first is not None and first.get("auto_renewal_status") == "will_not_renew"))


def entitlement_names(entitlements: Sequence[Item], names: Names) -> str:
    """Lookup keys, joined by commas in the order of their names."""
    ids = {str(one["entitlement_id"]) for one in entitlements if one.get("entitlement_id")}
    return ",".join(sorted(names.entitlements.get(name, name) for name in ids))


def product(first: Item | None, owned: Sequence[Item], names: Names) -> str:
    """The store's identifier of the primary subscription's product, else of the first one-time purchase."""
    found = [first] if first is not None and first.get("product_id") else sorted(owned, key=_bought_at)
    given = next((str(one["product_id"]) for one in found if one.get("product_id")), "")
    return names.products.get(given, given)


def period_type(first: Item | None, owned: Sequence[Item], *, entitled: bool) -> str:
    """`trial`, `normal`, `lifetime`, `promotional`, or empty when there is nothing to tell of."""
    if first is not None:
        return _period_of(first)
    return "lifetime" if owned else "promotional" if entitled else ""


def _period_of(first: Item) -> str:
    if first.get("status") == "trialing":
        return "trial"
    if first.get("status") in ("active", *_GRACE):
        return "normal"
    days = _days(first)
    return "trial" if days is not None and days < _TRIAL_DAYS else "normal"


def billing_period(first: Item | None, owned: Sequence[Item]) -> str:
    """What the length of the primary subscription's period is called; a purchase is for life."""
    if first is None:
        return "lifetime" if owned else ""
    days = _days(first)
    return "" if days is None else period_name(days)


def period_name(days: float) -> str:
    """What a period of so many days is called."""
    return next((name for limit, name in _PERIODS if days < limit), "lifetime")


def total_cents(items: Iterable[Item]) -> int:
    """Gross revenue of subscriptions and purchases in US cents, half a cent rounded up."""
    total = sum((_gross(one) for one in items), Decimal(0))
    return int((total * 100).quantize(Decimal(1), ROUND_HALF_UP))


def attribution(attributes: Sequence[Item]) -> dict[str, str]:
    """Where the customer came from: Apple Search Ads, or nowhere; other networks are not told of."""
    told = {str(one.get("name")): str(one["value"]) for one in attributes if one.get("value")}
    source = told.get("$mediaSource")
    if source is None:
        return {"attribution_source": "none"}
    if source != _APPLE_SEARCH_ADS:
        return {}
    found = {name: told[key] for name, key in _ASA.items() if key in told}
    return {"attribution_source": "apple_search_ads", **found}


def items(listing: object) -> list[Item]:
    """The objects of one of RevenueCat's lists; none of anything else."""
    found = listing.get("items") if isinstance(listing, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _gross(item: Item) -> Decimal:
    """A subscription has `total_revenue_in_usd`, a purchase `revenue_in_usd`."""
    money = item.get("total_revenue_in_usd") or item.get("revenue_in_usd")
    gross = money.get("gross") if isinstance(money, dict) else None
    try:
        value = Decimal(str(gross or 0))
    except InvalidOperation:
        return Decimal(0)
    return value if value.is_finite() else Decimal(0)


def _days(item: Item) -> float | None:
    start, end = item.get("current_period_starts_at"), item.get("current_period_ends_at")
    return None if start is None or end is None else (_number(end) - _number(start)) / _DAY


def _is_owned(purchase: Item) -> bool:
    return purchase.get("status") != "refunded"


def _bought_at(purchase: Item) -> float:
    return _number(purchase.get("purchased_at"))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _word(truth: object) -> str:
    return "true" if truth else "false"
