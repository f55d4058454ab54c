from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sessions.adapters import storable
from actors.sessions.adapters._text import continues, decode, iso, message_uuid, show

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=5), st.booleans())
def test_any_object_is_decoded_as_the_standard_library_does(value: dict[str, object], ascii_only: bool) -> None:  # noqa: FBT001 - given by hypothesis
    line = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert show(decode(line)).encode()  # whatever was half a surrogate pair is text by now
    if "\\ud" not in line.decode():
        assert decode(line) == json.loads(line)


@pytest.mark.parametrize("line", [b"", b"{", b'{"a":"\xff"}', b'{"a":"\\u12"}', b"\x00" * 9])
def test_what_is_no_json_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(line)


@pytest.mark.parametrize("line", [b"[]", b"1", b'"{}"', b"null"])
def test_json_that_is_no_object_is_a_type_error(line: bytes) -> None:
    with pytest.raises(TypeError, match="a JSON object was expected"):
        decode(line)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-05T10:00:00Z", "2026-01-05T10:00:00+00:00"),
        ("2026-01-05T10:00:00", "2026-01-05T10:00:00+00:00"),
        ("2026-01-05T10:00:00+02:00", "2026-01-05T10:00:00+02:00"),
        (1767607200, "2026-01-05T10:00:00+00:00"),
        (1767607200.5, "2026-01-05T10:00:00.500000+00:00"),
        (1767607200500, "2026-01-05T10:00:00.500000+00:00"),
        ("yesterday", None),
        ("", None),
        (None, None),
        ([], None),
        (1e300, None),
        (float("nan"), None),
        (-1e10, "1653-02-10T06:13:20+00:00"),
    ],
)
def test_time_stamps_in_seconds_milliseconds_and_text(value: object, expected: str | None) -> None:
    assert iso(value) == expected


def test_a_uuid_stays_and_is_written_in_lower_case() -> None:
    given_uuid = "0B7E20DE-D27E-4694-A1AD-571278647E26"
    assert message_uuid(given_uuid, "s") == given_uuid.lower()


@given(st.text(min_size=1), st.text())
def test_any_other_id_becomes_a_uuid_of_its_session(given_id: str, session: str) -> None:
    given_id, session = storable(given_id), storable(session)
    made = message_uuid(given_id, session)
    assert str(UUID(made)) == made
    assert made == message_uuid(given_id, session)
    assert made != message_uuid(given_id, session + "x")


def test_without_an_id_the_parts_tell_messages_apart() -> None:
    made = [
        message_uuid(None, "s", *parts) for parts in [("t", "user", b"a"), ("t", "user", b"b"), (None, "user", b"a")]
    ]
    assert len(set(made)) == 3
    assert UUID(made[0]).version == 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[continuation_from: 0b7e20de-d27e] go", ["0b7e20de-d27e"]),
        ("[continuation_from:ses_123456] [continuation_from: ses_654321]", ["ses_123456", "ses_654321"]),
        ("[continuation_from: ]", []),
        ("continuation_from: 0b7e20de-d27e", []),
    ],
)
def test_continuation_marks(text: str, found: list[str]) -> None:
    assert continues(text) == found


@given(st.text(st.characters()))
def test_storable_text_has_no_nul_and_is_utf8(text: str) -> None:
    kept = storable(text)
    assert "\x00" not in kept
    assert kept.encode().decode() == kept
    if "\x00" not in text and text.isprintable():
        assert kept == text
