"""The objects of RevenueCat's API, version 2, with the fields that its documentation shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zlib import crc32

from sandbox.stand_in import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Item = dict[str, Any]

PROJECT = "proj1ab2c3d4"
EPOCH = 1_658_399_423_658  # the moment in RevenueCat's own examples
DAY = 86_400_000  # milliseconds
_PAGE, _LONGEST_PAGE = 20, 100


def page(found: Sequence[Item], path: str, given: Mapping[str, str]) -> Item:
    """One page of a list, as RevenueCat sends it; `starting_after` is the id or the name of the last one before it."""
    ids = [_id_of(item) for item in found]
    limit = min(int(given.get("limit", _PAGE)), _LONGEST_PAGE)
    after = given.get("starting_after")
    if after is not None and after not in ids:
        raise ApiError(400, f"starting_after {after} does not exist.")
    start = 0 if after is None else ids.index(after) + 1
    part = list(found[start : start + limit])
    more = start + limit < len(found)
    last = f"{path}?starting_after={quote(ids[start + limit - 1], safe='')}" if more else None
    return {"object": "list", "items": part, "next_page": last, "url": path}


def entitlement(name: str, lookup_key: str) -> Item:
    """An entitlement of the project."""
    told = {"object": "entitlement", "project_id": PROJECT, "id": name, "lookup_key": lookup_key}
    return {**told, "display_name": lookup_key.title(), "created_at": EPOCH}


def product(name: str, store_identifier: str) -> Item:
    """A product of the project."""
    told = {"object": "product", "id": name, "store_identifier": store_identifier, "type": "subscription"}
    return {**told, "app_id": "app1a2b3c4", "display_name": store_identifier, "created_at": EPOCH}


def subscription(name: str = "sub1ab2c3d4e5", *, days: float = 30, usd: float = 9.99, **given: Any) -> Item:  # noqa: ANN401 - JSON
    """An active monthly subscription, unless something else is given."""
    start = int(given.get("current_period_starts_at", EPOCH))
    return {
        "object": "subscription",
        "id": name,
        "customer_id": "",
        "original_customer_id": "",
        "product_id": "prod_month",
        "starts_at": start,
        "current_period_starts_at": start,
        "current_period_ends_at": start + int(days * DAY),
        "ends_at": None,
        "gives_access": True,
        "pending_payment": False,
        "auto_renewal_status": "will_renew",
        "status": "active",
        "total_revenue_in_usd": money(usd),
        "presented_offering_id": None,
        "entitlements": page([], f"/v2/projects/{PROJECT}/subscriptions/{name}/entitlements", {}),
        "environment": "production",
        "store": "app_store",
        "store_subscription_identifier": "12345678",
        "ownership": "purchased",
        **given,
    }


def purchase(name: str = "purch1a2b3c4d5e", *, usd: float = 99.0, **given: Any) -> Item:  # noqa: ANN401 - JSON
    """A one-time purchase of a lifetime's access, unless something else is given."""
    path = f"/v2/projects/{PROJECT}/purchases/{name}/entitlements"
    return {
        "object": "purchase",
        "id": name,
        "customer_id": "",
        "original_customer_id": "",
        "product_id": "prod_life",
        "purchased_at": EPOCH,
        "revenue_in_usd": money(usd),
        "quantity": 1,
        "status": "owned",
        "presented_offering_id": None,
        "entitlements": page([entitlement("entla1b2c3d4e5", "premium")], path, {}),
        "environment": "production",
        "store": "app_store",
        "store_purchase_identifier": "GPA.3374-1",
        "ownership": "purchased",
        **given,
    }


def money(gross: float) -> Item:
    """An amount as RevenueCat breaks it down: a seventh is the store's."""
    commission = round(gross * 0.15, 4)
    told = {"currency": "USD", "gross": gross, "commission": commission, "tax": 0.0}
    return {**told, "proceeds": round(gross - commission, 4)}


def _id_of(item: Item) -> str:
    return str(item.get("id") or item.get("entitlement_id") or item.get("name"))


def active_entitlement(name: str) -> Item:
    """An entitlement that a customer has now."""
    return {"object": "customer.active_entitlement", "entitlement_id": name, "expires_at": EPOCH + 30 * DAY}


def customer_attribute(name: str, value: str) -> Item:
    """What an app told of a customer."""
    return {"object": "customer.attribute", "name": name, "value": value, "updated_at": EPOCH}


def owned_by(customer: str, found: Sequence[Item]) -> list[Item]:
    """These subscriptions or purchases as this customer's."""
    return [{**item, "customer_id": customer, "original_customer_id": customer} for item in found]


def invented(name: str) -> dict[str, Any]:
    """What a customer of this id has: a subscriber, one on trial, one who left, one for life, or nothing."""
    dice = crc32(name.encode())
    return {**_KINDS[dice // 6 % len(_KINDS)](dice % 40), "attributes": _SOURCES[dice // 48 % 3]}


def _subscriber(dice: int) -> dict[str, Any]:
    return {"entitlements": ["entla1b2c3d4e5"], "subscriptions": [subscription(usd=9.99 * (1 + dice))]}


def _yearly(_dice: int) -> dict[str, Any]:
    return {
        "entitlements": ["entla1b2c3d4e5"],
        "subscriptions": [subscription(days=365, usd=59.0, product_id="prod_year")],
    }


def _on_trial(_dice: int) -> dict[str, Any]:
    return {"entitlements": ["entla1b2c3d4e5"], "subscriptions": [subscription(days=7, usd=0.0, status="trialing")]}


def _left(dice: int) -> dict[str, Any]:
    over: dict[str, Any] = {"status": "expired", "gives_access": False, "auto_renewal_status": "will_not_renew"}
    return {"subscriptions": [subscription(usd=9.99 * (1 + dice % 5), **over)]}


def _for_life(_dice: int) -> dict[str, Any]:
    return {"entitlements": ["entla1b2c3d4e5"], "purchases": [purchase()]}


def _nothing(_dice: int) -> dict[str, Any]:
    return {}


_KINDS: tuple[Callable[[int], dict[str, Any]], ...] = (
    *(_subscriber, _yearly, _subscriber, _on_trial, _left, _left, _for_life, _nothing),
)
_SOURCES: tuple[dict[str, str], ...] = (
    {},
    {"$mediaSource": "Apple Search Ads", "$campaign": "Autumn", "$adGroup": "Budgeting", "$keyword": "save money"},
    {"$mediaSource": "Facebook Ads", "$campaign": "Autumn"},
)
