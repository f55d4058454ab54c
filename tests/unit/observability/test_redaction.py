from __future__ import annotations

import time
from collections import namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.redaction import MAX_DEPTH, REDACTED, is_secret_key, redact, redact_text

SECRET = "hunter2Hunter2"
SECRET_KEYS = (
    "password", "Password", "PGPASSWORD", "db_password", "passwd", "secret", "client_secret", "clientSecret",
    "token", "access_token", "accessToken", "tokens", "api_key", "apiKey", "X-API-Key", "APIKey", "authorization",
    "Authorization", "Cookie", "Set-Cookie", "dsn", "sentry.dsn", "private_key", "credentials", "jwt", "auth", "otp",
)  # fmt: skip
PLAIN_KEYS = ("path", "job", "count", "key", "primary_key", "author", "passed", "session_id", "token_count", "max_age")

Pair = namedtuple("Pair", ["user", "password"])  # noqa: PYI024 - the untyped kind must work as well

# Text in which no secret can be: what the properties leave unchanged must not be one by chance.
harmless = (
    st.text(alphabet="abcdefghij XYZ,.", max_size=20)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False)
)
structures = st.recursive(
    harmless,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner, inner)
        | st.dictionaries(st.sampled_from(PLAIN_KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
anything = st.recursive(
    st.text() | st.binary() | st.integers() | st.floats() | st.none() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(SECRET_KEYS) | st.integers(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secret_key_hides_its_value(key: str) -> None:
    assert redact({key: SECRET, "path": "/a"}) == {key: REDACTED, "path": "/a"}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_other_keys_hide_nothing(key: str) -> None:
    assert redact({key: SECRET}) == {key: SECRET}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:pw@host/db", "postgresql://user:[redacted]@host/db"),
        ("postgresql+psycopg://user:p@ss@host:5432/db?x=1", "postgresql+psycopg://user:[redacted]@host:5432/db?x=1"),
        ("amqp://user:pa/ss@host", "amqp://user:[redacted]@host"),
        ("postgresql://token:pw@host/db", "postgresql://token:[redacted]@host/db"),
        ("amqp://b:/@@host", "amqp://b:[redacted]@host"),
        ("redis://:pw@localhost:6379/0", "redis://:[redacted]@localhost:6379/0"),
        ("http://localhost:8080/a?mail=x@example.org", "http://localhost:8080/a?mail=x@example.org"),
        ("GET https://h/v1?api_key=abc&page=2 failed", "GET https://h/v1?api_key=[redacted]&page=2 failed"),
        ("host=h password=abc dbname=d", "host=h password=[redacted] dbname=d"),
        ("connect(password='a b', host='h')", "connect(password='[redacted]', host='h')"),
        ('{"token": "abc", "n": 1}', '{"token": "[redacted]", "n": 1}'),
        ("error: password=abc", "error: password=[redacted]"),
        ("password=a,b;c next", "password=[redacted] next"),
        ("password=abc,host=h", "password=[redacted],host=h"),
        ("tokens=['abc', 'def'] n=1", "tokens=[redacted] n=1"),
        ("Authorization: Bearer abcdef", "Authorization: [redacted]"),
        ("Cookie: a=b; c=d", "Cookie: [redacted]"),
        ("authorization=Bearer abc x=1", "authorization=[redacted] x=1"),
        ("sent Bearer abcdefgh12", "sent Bearer [redacted]"),
        ("tool --password abc --verbose", "tool --password [redacted] --verbose"),
        ("leaked ghp_0123456789abcdefABCD here", "leaked [redacted] here"),
        ("prompt_tokens=37 tokens=12", "prompt_tokens=37 tokens=12"),
        ("", ""),
    ],
)
def test_secrets_inside_text(text: str, shown: str) -> None:
    assert redact_text(text) == shown


def test_numbers_of_tokens_are_no_secrets() -> None:
    usage = {"prompt_tokens": 37, "token_count": 5, "tokens_per_second": 1.5}
    assert redact(usage) == usage
    assert redact({"token": 123456})["token"] == REDACTED  # type: ignore[comparison-overlap]  # a number became text


def test_nothing_is_hidden_where_nothing_is_to_be_known() -> None:
    empty = {"password": None, "token": "", "secret": False}
    assert redact(empty) == empty


def test_names_before_their_values_in_sequences() -> None:
    assert redact([("Cookie", SECRET), ("Accept", "text")]) == [("Cookie", REDACTED), ("Accept", "text")]
    assert redact(["tool", "--password", SECRET, "x"]) == ["tool", "--password", REDACTED, "x"]
    assert redact(["password", "email"]) == ["password", "email"]
    assert redact(Pair("me", SECRET)) == Pair("me", REDACTED)
    assert repr(redact([(b"Authorization", SECRET.encode())])) == repr([(b"Authorization", REDACTED)])


def test_containers_keep_their_kind() -> None:
    assert redact({"a": {"x", "password=p"}}) == {"a": {"x", "password=[redacted]"}}
    assert redact(frozenset(["x"])) == frozenset(["x"])
    assert redact(b"\xff password=p") == b"\xff password=[redacted]"
    unknown = object()
    assert redact([unknown])[0] is unknown


def test_a_container_that_holds_itself_is_cut() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert redact(loop) == [1, "[circular]"]


def test_a_container_met_twice_is_no_circle() -> None:
    shared = [1]
    assert redact([shared, shared]) == [[1], [1]]


def test_nesting_beyond_the_limit_is_replaced() -> None:
    deep: Any = {"password": SECRET}
    for _ in range(10_000):
        deep = [deep]
    shown: Any = redact(deep)
    for _ in range(MAX_DEPTH):
        shown = shown[0]
    assert shown == "[too deep]"


def test_the_argument_is_left_as_it_was() -> None:
    given_value = {"password": SECRET, "nested": [{"token": SECRET}]}
    redact(given_value)
    assert given_value == {"password": SECRET, "nested": [{"token": SECRET}]}


def test_long_names_are_judged_by_their_ends() -> None:
    assert is_secret_key("x" * 500 + "_password")
    assert not is_secret_key("x" * 500)


HOSTILE = ("a", "://", "://:", "token=", "'", "password='\\", "x.", "Bearer ", "--a ", "[", "cookie:", "sk-")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    start = time.process_time()
    redact_text(hostile * 50_000 + " password=x")
    assert time.process_time() - start < 3


@given(structures)
def test_what_holds_no_secret_is_unchanged(value: object) -> None:
    assert redact(value) == value


@given(
    structures,
    st.sampled_from(SECRET_KEYS),
    st.lists(st.sampled_from(["list", "tuple", "dict"]), max_size=6),
    structures,
)
def test_a_secret_never_comes_out_however_deep(before: object, key: str, wraps: list[str], after: object) -> None:
    value: Any = {"before": before, key: [SECRET, {"x": SECRET}], "after": after}
    for wrap in wraps:
        value = {"list": [before, value], "tuple": (value, after, 1), "dict": {"path": value}}[wrap]
    assert SECRET not in repr(redact(value))


@given(
    st.sampled_from(["postgresql", "redis", "amqp", "https", "postgresql+psycopg"]),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=0, max_size=8),
    st.text("ABCDEFGHIJ0123456789!$%^*()-_+~", min_size=6, max_size=30),
    st.sampled_from(["localhost", "db.example.org:5432", "[::1]:6379"]),
)
def test_the_password_of_a_url_never_comes_out(scheme: str, user: str, password: str, host: str) -> None:
    shown = redact_text(f"cannot reach {scheme}://{user}:{password}@{host}/x: refused")
    assert shown == f"cannot reach {scheme}://{user}:{REDACTED}@{host}/x: refused"


@given(
    st.text("abc {}[]\"'", max_size=10),
    st.sampled_from([key for key in SECRET_KEYS if " " not in key]),
    st.sampled_from(["=", ": ", " = ", '": "', "=>"]),
    st.text("ABCDEFGHIJ0123456789!$%^*()-_+~/.", min_size=6, max_size=30),
)
def test_a_value_after_its_key_never_comes_out(before: str, key: str, separator: str, secret: str) -> None:
    # A number of tokens may be shown.
    assert f"Q{secret}" not in redact_text(f"{before} {key}{separator}Q{secret} and on")


@given(anything)
def test_any_value_can_be_redacted_and_a_second_time_changes_nothing(value: object) -> None:
    once = redact(value)
    assert repr(redact(once)) == repr(once)


@given(st.text(st.sampled_from("=:'\"-@/[](){},;& \n\\ab") | st.sampled_from(["x"]), max_size=60))
def test_text_redacted_twice_is_text_redacted_once(text: str) -> None:
    once = redact_text(f"password={text} token: {text} a://b:{text}@c")
    assert redact_text(once) == once
