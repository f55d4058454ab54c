"""What comes in and goes out: candidates of integrations, connections, webhooks, audit rows and who is sent them."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox.company._copy import copy, escaped
from sandbox.company._people import uuid
from sandbox.company._sealing import Sealer
from sandbox.company._words import remark
from sandbox.company.credentials import ACCESS_TOKEN, REFRESH_TOKEN, signing_secret, token

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from psycopg import Connection

    from sandbox.company._people import Tenant
    from sandbox.company._plan import Plan

_PROVIDERS = {
    "github": ("HOURLY", {"repository": "acme/board"}),
    "notion": ("DAILY", {}),
    "google_drive": ("REALTIME", {}),
    "onedrive": ("WEEKLY", {}),
}
_AUDIT = (
    ("memory.create", "data", "memory", "create", "success"),
    ("memory.query", "api", "memory", "query", "success"),
    ("session.create", "auth", "session", "create", "success"),
    ("session.create", "auth", "session", "create", "failure"),
    ("api_key.created", "security", "api_key", "create", "success"),
    ("team.member_added", "org", "member", "create", "success"),
)
_CANDIDATES, _AUDIT_ROWS = 0.02, 0.05


def write_outgoing(connection: Connection, plan: Plan, tenants: list[Tenant], rng: random.Random) -> None:
    """Put it all into the tables."""
    columns = "tenant_id user_id event_type category resource_type action status ip_address user_agent created_at"
    copy(connection, "memory.audit_logs", columns.split(), _audit(plan, tenants, rng))
    columns = "tenant_id user_id environment source_type category content_ciphertext source_input_hash extracted_key"
    copy(connection, "memory.memory_candidates", [*columns.split(), "importance"], _candidates(tenants, rng))
    columns = "id tenant_id name url event_types secret"
    copy(connection, "memory.webhooks", columns.split(), _webhooks(plan, tenants, rng))
    columns = "id tenant_id kind url token"
    copy(connection, "memory.siem_destinations", columns.split(), _destinations(plan, tenants, rng))
    columns = "id tenant_id user_id provider frequency options next_scheduled_sync access_token refresh_token"
    if plan.outside:
        copy(connection, "memory.connections", columns.split(), _connections(plan, tenants, rng))


def _audit(plan: Plan, tenants: list[Tenant], rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Over 380 days, the oldest first: some are older than a year."""
    owners = [tenant for tenant in tenants if tenant.users for _ in range(int(tenant.memories * _AUDIT_ROWS) + 5)]
    rng.shuffle(owners)
    for number, tenant in enumerate(owners):
        at = plan.now - timedelta(days=380 * (1 - (number + 0.5) / len(owners)))
        address, agent = f"192.0.2.{rng.randrange(1, 255)}", "Mozilla/5.0"
        yield tenant.id, rng.choice(tenant.users).id, *rng.choice(_AUDIT), address, agent, at


def _candidates(tenants: list[Tenant], rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Waiting in the capture queue; some are too short or too fleeting to be kept."""
    for tenant in tenants:
        for number in range(int(tenant.memories * _CANDIDATES)):
            user, said = rng.choice(tenant.users), remark(rng)
            text = ("Ok.", "I am at the airport today, call me later.")[number % 2] if number % 10 < 2 else said.text  # noqa: PLR2004 - a fifth
            kept, hashed = user.key.encrypt(text), user.key.hash(f"{number} {text}")
            key = f"{said.key}_{number % 7}"
            yield tenant.id, user.id, "production", "structured_row", said.category, kept, hashed, key, rng.random()


def _webhooks(plan: Plan, tenants: list[Tenant], rng: random.Random) -> Iterator[tuple[object, ...]]:
    sealer = Sealer(plan.secret_key)
    for tenant in tenants:
        for url in plan.webhooks:
            name = url.rpartition("/")[2]
            secret = sealer.seal(signing_secret(name).encode())
            yield uuid(rng), tenant.id, name, escaped(url), ("*",), secret


def _destinations(plan: Plan, tenants: list[Tenant], rng: random.Random) -> Iterator[tuple[object, ...]]:
    """The tenants take turns with the kinds."""
    sealer = Sealer(plan.secret_key)
    for tenant, (kind, url) in zip(tenants, itertools.cycle(plan.siem), strict=False):
        secret = signing_secret("siem") if kind == "custom" else token(kind)
        yield uuid(rng), tenant.id, kind, escaped(url), sealer.seal(secret.encode())


def _connections(plan: Plan, tenants: list[Tenant], rng: random.Random) -> Iterator[tuple[object, ...]]:
    sealer = Sealer(plan.secret_key)
    for tenant in tenants:
        for provider, (frequency, options) in _PROVIDERS.items():
            if tenant.users:
                tokens = (sealer.seal(each.encode()) for each in (ACCESS_TOKEN, REFRESH_TOKEN))
                user = rng.choice(tenant.users)
                yield uuid(rng), tenant.id, user.id, provider, frequency, options, plan.now, *tokens
