"""From where a sign-in is tried, as failures are counted."""

from __future__ import annotations

import pytest

from callboard.accounts import _attempts


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("testclient\x00", "testclient"),
    ],
)
def test_whoever_has_one_address_of_a_network_has_all(ip: str | None, place: str) -> None:
    assert _attempts._place(ip) == place
