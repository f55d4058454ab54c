"""Signing in: what lets in, what does not, how often it may be tried, and how long it lasts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from callboard.accounts import Session, _attempts, _passwords, keys, local_operator, prune, sign_in, users
from callboard.errors import Forbidden, Invalid, SignInRefused
from callboard.ledger.database import get_engine, transaction
from callboard.operations import accounts
from callboard.settings import get_settings
from tests.integration.accounts.conftest import PASSWORD, WHO, Town
from tests.passwords import light_hasher

if TYPE_CHECKING:
    from collections.abc import Callable

EMAIL = "root@example.org"
enter = partial(sign_in.with_password, ip="10.0.0.1", agent="Firefox")
follow = partial(sign_in.with_link, ip="10.0.0.1", agent="Firefox")


def change(sql: str) -> None:
    with transaction() as connection:
        connection.execute(text(sql))


def value(sql: str) -> object:
    with transaction() as connection:
        return connection.execute(text(sql)).scalar_one()


def refusal(act: Callable[[], Session]) -> SignInRefused:
    with pytest.raises(SignInRefused) as refused:
        act()
    return refused.value


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that a password was compared with."""
    seen: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
            seen.append(str(hash))
            return super().verify(hash, password)

    counting = Counting(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(_passwords, "hasher", lambda: counting)
    return seen


def test_a_password_signs_in_and_the_cookie_is_known(town: Town) -> None:
    session = enter(" Root@Example.ORG ", PASSWORD)
    assert session.principal == town.principal(town.root)
    assert sign_in.find(session.token) == session.principal
    assert session.principal.who("10.0.0.1").name == f"manual:user:{town.root.id}"
    assert session.token not in repr(session)
    with transaction() as connection:
        (seen,) = sign_in.listing(connection, town.root.id, token=session.token)
        assert users.get(connection, town.root.id).last_sign_in_at is not None
    assert (seen.ip, seen.agent, seen.current) == ("10.0.0.1", "Firefox", True)
    assert seen.id not in session.token


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "\x00", "\ud800"])
def test_any_other_cookie_is_nobodys(town: Town, token: str) -> None:
    assert town.root.id
    assert sign_in.find(token) is None
    sign_in.out(token)


def test_an_unknown_address_is_answered_alike_after_the_same_work(town: Town, hashes: list[str]) -> None:
    accounts.disable(town.adam.id, who=WHO)
    answers = {
        (str(error), error.retry_after)
        for who in (EMAIL, "nobody@example.org", "mia@example.org", "adam@example.org", "a\x00\ud800b")
        for error in [refusal(partial(enter, who, "not the password"))]
    }
    assert answers == {("The address or the password is not right.", None)}
    assert len(hashes) == 5
    assert len({known.rsplit("$", 2)[0] for known in hashes}) == 1  # the parameters, which say how much work it is


def test_after_five_failures_an_address_waits(town: Town, hashes: list[str]) -> None:
    for _ in range(_attempts.MOST_BY_EMAIL):
        refusal(partial(enter, EMAIL, "not the password", ip=None))
    waits = [refusal(partial(enter, who, PASSWORD)) for who in (EMAIL, " ROOT@EXAMPLE.ORG")]
    assert {str(error).partition(";")[0] for error in waits} == {"Too many sign-ins have failed"}
    assert all(290 < (error.retry_after or 0) <= 300 for error in waits)
    assert len(hashes) == _attempts.MOST_BY_EMAIL
    change("update board.sign_in_failures set at = at - interval '200 seconds' where id % 2 = 0")
    assert 0 < (refusal(partial(enter, EMAIL, PASSWORD)).retry_after or 0) <= 100
    change("update board.sign_in_failures set at = at - interval '300 seconds' where id % 2 = 0")
    assert enter(EMAIL, PASSWORD).principal.user_id == town.root.id
    assert value("select count(*) from board.sign_in_failures") == 0


def test_after_twenty_failures_a_place_waits_and_others_do_not(town: Town) -> None:
    for number in range(_attempts.MOST_BY_IP):
        refusal(partial(enter, f"user{number}@example.org", "not the password"))
    assert refusal(partial(enter, EMAIL, PASSWORD)).retry_after
    assert refusal(partial(follow, accounts.make_link(town.root.id, who=WHO))).retry_after
    assert enter(EMAIL, PASSWORD, ip="10.0.0.2").principal.user_id == town.root.id


def test_whoever_is_counted_twice_waits_for_the_longer(town: Town) -> None:
    assert town.root.id
    for _ in range(_attempts.MOST_BY_EMAIL):
        refusal(partial(enter, EMAIL, "not the password", ip="10.0.0.2"))
    change("update board.sign_in_failures set at = at - interval '200 seconds'")
    for number in range(_attempts.MOST_BY_IP):
        refusal(partial(enter, f"user{number}@example.org", "not the password"))
    assert (refusal(partial(enter, EMAIL, PASSWORD)).retry_after or 0) > 250
    assert (refusal(partial(enter, EMAIL, PASSWORD, ip="10.0.0.3")).retry_after or 999) < 150


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(town: Town, hashes: list[str]) -> None:
    assert town.root.id

    def guess(number: int) -> bool:
        return refusal(partial(enter, EMAIL, f"guess number {number}")).retry_after is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(guess, range(24))) == _attempts.MOST_BY_EMAIL
    assert len(hashes) == _attempts.MOST_BY_EMAIL


def test_a_hash_of_lesser_parameters_is_renewed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    before = value(f"select password_hash from board.users where id = '{town.root.id}'")
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(_passwords, "hasher", lambda: stronger)
    enter(EMAIL, PASSWORD)
    after = value(f"select password_hash from board.users where id = '{town.root.id}'")
    assert after != before
    assert not stronger.check_needs_rehash(str(after))
    enter(EMAIL, PASSWORD)
    assert value(f"select password_hash from board.users where id = '{town.root.id}'") == after
    assert light_hasher().check_needs_rehash(str(after))


def test_use_moves_the_end_but_not_beyond_thirty_days(town: Town) -> None:
    assert town.root.id
    session, hours = enter(EMAIL, PASSWORD), timedelta(hours=get_settings().console_session_hours)
    assert abs(session.expires_at - datetime.now(UTC) - hours) < timedelta(seconds=30)
    sign_in.find(session.token)
    assert value("select expires_at from board.sign_ins") == session.expires_at  # not written every time
    change("update board.sign_ins set last_seen_at = now() - interval '2 minutes'")
    assert sign_in.find(session.token, used=False)
    assert value("select expires_at from board.sign_ins") == session.expires_at  # somebody only asked
    change("update board.sign_ins set last_seen_at = now() - interval '2 minutes', expires_at = now() + interval '9 s'")
    assert sign_in.find(session.token)
    assert value("select expires_at > now() + interval '1 hour' from board.sign_ins")
    change(
        "update board.sign_ins set last_seen_at = now() - interval '2 minutes',"
        " created_at = now() - interval '30 days' + interval '1 minute'"
    )
    assert sign_in.find(session.token)
    assert value("select expires_at <= created_at + interval '30 days' from board.sign_ins")
    change("update board.sign_ins set expires_at = now()")
    assert sign_in.find(session.token) is None


def test_signing_out_here_and_everywhere(town: Town) -> None:
    here, there, third = (enter(EMAIL, PASSWORD) for _ in range(3))
    sign_in.out(here.token)
    assert (sign_in.find(here.token), sign_in.find(there.token)) == (None, there.principal)
    with transaction() as connection:
        one = next(one for one in sign_in.listing(connection, town.root.id, token=there.token) if one.current)
    assert not accounts.end_sign_in(town.mia.id, one.id, who=WHO)  # of somebody else
    assert accounts.end_sign_in(town.root.id, one.id, who=WHO)
    assert sign_in.find(there.token) is None
    assert accounts.sign_out_everywhere(town.root.id, who=WHO) == 1
    assert sign_in.find(third.token) is None


def test_ones_own_password_takes_the_old_one_and_ends_other_sign_ins(town: Town) -> None:
    session, other = enter(EMAIL, PASSWORD), enter(EMAIL, PASSWORD)
    act = partial(accounts.change_own_password, session.principal, who=WHO, ip=None, agent=None)
    with pytest.raises(Invalid, match="another one"):
        act("not the old one", "a new password")
    with pytest.raises(Invalid, match="it needs"):
        act(PASSWORD, "short")
    assert sign_in.find(other.token)
    renewed = act(PASSWORD, "a new password")
    assert sign_in.find(renewed.token) == session.principal
    assert (sign_in.find(session.token), sign_in.find(other.token)) == (None, None)
    linked = follow(accounts.make_link(town.mia.id, who=WHO)).principal
    assert accounts.change_own_password(linked, "", "her first password", who=WHO, ip=None, agent=None)
    key = keys.find(town.key(town.root, "accounts:write"))
    assert key is not None
    with pytest.raises(Forbidden, match="A key cannot"):
        accounts.change_own_password(key, "a new password", "another password", who=WHO, ip=None, agent=None)


def test_a_link_signs_one_in_though_many_follow_it_at_once(town: Town) -> None:
    token = accounts.make_link(town.mia.id, who=WHO)

    def tried(_: int) -> bool:
        try:
            return follow(token).principal.user_id == town.mia.id
        except SignInRefused:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tried, range(8))) == 1
    assert "used before" in str(refusal(partial(follow, token)))


def test_a_link_that_has_expired_or_is_void_signs_nobody_in(town: Town) -> None:
    late, void, good = (accounts.make_link(who.id, who=WHO) for who in (town.mia, town.adam, town.olga))
    change(f"update board.sign_in_links set expires_at = now() where user_id = '{town.mia.id}'")
    accounts.sign_out_everywhere(town.adam.id, who=WHO)
    assert [sign_in.is_good(token) for token in (late, void, good, "no such token")] == [False, False, True, False]
    refusal(partial(follow, late))
    refusal(partial(follow, void))
    refusal(partial(follow, "no such token"))
    assert follow(good).principal.email == "olga@example.org"
    assert sign_in.link_url(good) == f"http://127.0.0.1:9190/sign-in/link?token={good}"


def test_where_the_console_is_called_from_outside_is_where_links_go(
    ledger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger is None
    monkeypatch.setenv("CALLBOARD_CONSOLE_URL", "https://board.example.org/")
    get_settings.cache_clear()
    assert sign_in.link_url("a+b") == "https://board.example.org/sign-in/link?token=a%2Bb"
    monkeypatch.setenv("CALLBOARD_CONSOLE_URL", "")
    monkeypatch.setenv("CALLBOARD_CONSOLE_HOST", "::1")
    monkeypatch.setenv("CALLBOARD_CONSOLE_TLS_CERT", "cert.pem")
    get_settings.cache_clear()
    assert sign_in.link_url("t") == "https://[::1]:9190/sign-in/link?token=t"
    assert sign_in.link_url("t", console="http://127.0.0.1:5") == "http://127.0.0.1:5/sign-in/link?token=t"


def test_a_token_of_the_settings_works_once_for_ever(ledger: None) -> None:
    assert ledger is None
    first, second = "first-token-of-the-settings", "second-token-of-the-settings"
    sign_in.register_token(first)
    sign_in.register_token(first)
    sign_in.register_token(second)
    refusal(partial(follow, first))  # the settings no longer say it
    assert follow(second).principal.email == local_operator().email
    sign_in.register_token(second)
    change("update board.sign_in_links set created_at = now() - interval '1 year', used_at = now() - interval '1 year'")
    with transaction() as connection:
        prune(connection)
    sign_in.register_token(second)
    refusal(partial(follow, second))
    with pytest.raises(Invalid, match="CALLBOARD_CONSOLE_TOKEN has 8 characters; it needs 16 to 200 random"):
        sign_in.register_token("12345678")


def test_pruning_leaves_what_still_counts(town: Town) -> None:
    kept, gone = enter(EMAIL, PASSWORD), enter(EMAIL, PASSWORD)
    change(f"update board.sign_ins set expires_at = now() where token_hash <> sha256('{kept.token}')")
    links = [accounts.make_link(town.mia.id, who=WHO) for _ in range(2)]
    change(
        f"update board.sign_in_links set expires_at = now() - interval '2 days' where token_hash = sha256('{links[0]}')"
    )
    refusal(partial(enter, "nobody@example.org", PASSWORD))
    refusal(partial(enter, "nobody@example.org", PASSWORD))
    change(
        "update board.sign_in_failures set at = now() - interval '2 days'"
        " where id = (select min(id) from board.sign_in_failures)"
    )
    with transaction() as connection:
        assert prune(connection) == 3
        assert prune(connection) == 0
    assert (sign_in.find(kept.token), sign_in.find(gone.token)) == (kept.principal, None)
    assert follow(links[1])
    assert value("select count(*) from board.sign_in_failures") == 1


def test_no_secret_is_kept_in_any_table(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    session, link = enter(EMAIL, PASSWORD), accounts.make_link(town.mia.id, who=WHO)
    linked, key = follow(link), town.key(town.root, "jobs:read")
    sign_in.register_token("a-token-of-the-settings")
    refusal(partial(enter, EMAIL, "not the password"))
    keys.find(key)
    with get_engine().connect() as connection:
        tables = connection.execute(text("select tablename from pg_tables where schemaname = 'board'")).scalars().all()
        rows = [connection.execute(text(f"select t::text from board.{name} t")).scalars().all() for name in tables]
    everything = "\n".join(row for table in rows for row in table) + caplog.text
    assert "sign_in.password" in everything
    for secret in (PASSWORD, "not the password", session.token, link, linked.token, key, "a-token-of-the-settings"):
        assert secret not in everything
        assert secret.encode().hex() not in everything
