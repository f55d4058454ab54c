"""Texts at rest: one key a user, sealed by the installation's, and nothing readable without both."""

from __future__ import annotations

import hmac
import os
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.memory.texts import Keyring, Unreadable
from callboard import PermanentError, get_settings, seal, transaction, unseal
from tests.integration.memory.kit import add_tenant, add_user, rows_of

if TYPE_CHECKING:
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")

TEXT = "Anna drinks tea, never coffee. \u2615 \ud800"


def keyring(*users: UUID) -> Keyring:
    with transaction() as connection:
        return Keyring.of(connection, users)


def data_key(user: UUID) -> bytes:
    return bytes(rows_of("select data_key from memory.users where id = :user", user=user)[0]["data_key"])


def test_a_text_is_read_again_with_a_key_that_is_made_once() -> None:
    user = add_user(add_tenant())
    kept = keyring(user).encrypt(user, TEXT)
    assert keyring(user).decrypt(user, kept) == TEXT
    assert keyring(user).hash(user, TEXT) == keyring(user).hash(user, TEXT)
    assert keyring(user).encrypt(user, TEXT) != kept


def test_the_format_is_the_one_that_the_module_documents() -> None:
    user, master = add_user(add_tenant()), bytes(range(32))
    ring = keyring(user)
    sealed = data_key(user)
    assert (len(sealed), sealed[:4], sealed[4:8]) == (68, b"\x00cb1", sha256(master).digest()[:4])
    key = AESGCM(master).decrypt(sealed[8:20], sealed[20:], None)
    assert (len(key), key in sealed) == (32, False)
    kept = ring.encrypt(user, "tea")
    assert (len(kept), kept[:1]) == (29 + 3, b"\x01")
    assert AESGCM(key).decrypt(kept[1:13], kept[13:], user.bytes) == b"tea"
    assert ring.hash(user, "tea") == hmac.digest(key, b"tea", "sha256").hex()


def test_a_text_opens_neither_for_another_user_nor_after_a_change() -> None:
    tenant = add_tenant()
    anna, ben = add_user(tenant), add_user(tenant)
    ring = keyring(anna, ben)
    kept = ring.encrypt(anna, TEXT)
    assert ring.hash(anna, TEXT) != ring.hash(ben, TEXT)
    changed = kept[:-1] + bytes([kept[-1] ^ 1])
    for user, data in ((ben, kept), (anna, changed), (anna, kept[:20]), (anna, b""), (anna, b"\x02" + kept[1:])):
        with pytest.raises(Unreadable, match=str(user)):
            ring.decrypt(user, data)


def test_unknown_and_erased_users_have_no_key_and_get_none() -> None:
    erased = add_user(add_tenant(), deleted_at="2026-01-01T00:00:00Z")
    nobody = uuid4()
    ring = keyring(erased, nobody)
    assert erased not in ring
    with pytest.raises(Unreadable, match=str(erased)):
        ring.encrypt(erased, TEXT)
    with pytest.raises(Unreadable, match=str(nobody)):
        ring.hash(nobody, TEXT)


def test_one_damaged_key_is_one_users_loss() -> None:
    tenant = add_tenant()
    anna, ben = add_user(tenant), add_user(tenant, data_key=seal(bytes(32))[:-1] + b"?")
    ring = keyring(anna, ben)
    assert (anna in ring, ben in ring) == (True, False)


def test_without_a_key_of_the_installation_nothing_is_kept_and_the_error_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = add_user(add_tenant())
    monkeypatch.delenv("CALLBOARD_SECRET_KEYS")
    get_settings.cache_clear()
    with pytest.raises(PermanentError, match="CALLBOARD_SECRET_KEYS"):
        keyring(user)
    assert rows_of("select data_key from memory.users") == [{"data_key": None}]


def test_a_new_key_of_the_installation_opens_what_the_old_one_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    user = add_user(add_tenant())
    kept = keyring(user).encrypt(user, TEXT)
    new, old = b64encode(os.urandom(32)).decode(), b64encode(bytes(range(32))).decode()
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", f"{new},{old}")
    get_settings.cache_clear()
    assert keyring(user).decrypt(user, kept) == TEXT
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", new)
    get_settings.cache_clear()
    with pytest.raises(PermanentError, match="CALLBOARD_SECRET_KEYS"):
        keyring(user)


def test_a_secret_is_never_taken_for_a_sealed_one() -> None:
    looks_sealed = b"\x00cb1" + bytes(64)
    assert unseal(seal(looks_sealed)) == looks_sealed
    with pytest.raises(PermanentError, match="none"):
        unseal(b"a secret in the open")


def test_two_at_once_agree_on_the_key() -> None:
    user = add_user(add_tenant())
    with transaction() as first:
        mine = Keyring.of(first, [user])
        with transaction() as second:
            second.exec_driver_sql("set local lock_timeout = '200ms'")
            with pytest.raises(Exception, match="lock timeout"):  # it waits, it does not make a second key
                Keyring.of(second, [user])
            second.rollback()
        kept = mine.encrypt(user, TEXT)
    assert keyring(user).decrypt(user, kept) == TEXT
