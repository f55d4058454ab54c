"""How often signing in may fail: counted by address and by where it comes from, in the ledger, over all consoles."""

from __future__ import annotations

import unicodedata
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.errors import SignInRefused
from callboard.ledger.database import transaction
from callboard.ledger.facts import readable

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Failures within the window after which nothing more is tried.
MOST_BY_EMAIL, MOST_BY_IP, WINDOW_SECONDS = 5, 20, 300.0

_LONGEST = 254
# One after the other for each address and each place; always in that order, so that no two wait for each other.
_LOCKS = tuple(
    text(f"select pg_advisory_xact_lock(hashtext('callboard.sign_in.{name}'), hashtext(:{name}))")
    for name in ("email", "ip")
)
# When the failure that fills the measure leaves the window; null while there is room.
_WAIT = text("""
with recent as (
  select email = :email and :email <> '' as same_email, ip = :ip as same_ip, at
  from board.sign_in_failures
  where at > now() - make_interval(secs => :window) and (email = :email or ip = :ip)
), full_at as (
  (select at from recent where same_email order by at desc offset :most_by_email - 1 limit 1)
  union all
  (select at from recent where same_ip order by at desc offset :most_by_ip - 1 limit 1)
)
select extract(epoch from max(at) + make_interval(secs => :window) - now())::float8 from full_at
""")
_NOTE = text("insert into board.sign_in_failures (email, ip) values (:email, :ip) returning id")
_FORGET = text("delete from board.sign_in_failures where id = :id or (email = :email and email <> '')")


def begin(email: str, ip: str | None) -> int:
    """Count a try before it is made, so that many at once are not more than one after the other.

    Args:
        email: The address as it was given; empty for a link, which is counted by `ip` only.
        ip: Where it comes from.

    Returns:
        What `succeeded` is told; without that, the try counts as failed.

    Raises:
        SignInRefused: There were too many failures; it says when to try again.
    """
    given = {"email": email, "ip": _place(ip)}
    with transaction() as connection:
        for lock in _LOCKS:
            connection.execute(lock, given)
        bounds = {"window": WINDOW_SECONDS, "most_by_email": MOST_BY_EMAIL, "most_by_ip": MOST_BY_IP}
        wait = connection.execute(_WAIT, given | bounds).scalar_one()
        if wait is None:
            return int(connection.execute(_NOTE, given).scalar_one())
    raise SignInRefused(f"Too many sign-ins have failed; try again in {_span(wait)}.", retry_after=max(1.0, wait))


def succeeded(connection: Connection, attempt: int, email: str) -> None:
    """Take the try back, and the failures of its address before it."""
    connection.execute(_FORGET, {"id": attempt, "email": email})


def counted_as(email: str) -> str:
    """The address as failures are counted by."""
    return readable(unicodedata.normalize("NFC", email.strip().lower()))[:_LONGEST]


def _place(ip: str | None) -> str:
    """Where a try comes from, as it is counted: of IPv6 the /64, for whoever has one address has all of them."""
    try:
        found = ip_address((ip or "").partition("%")[0])
    except ValueError:
        return readable(ip or "")[:_LONGEST]
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))


def _span(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
