"""Messages in the ledger are sealed: nobody who reads its tables reads a secret, and a replay gives it to the job."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from callboard import Settings, get_settings, job
from callboard.errors import PermanentError, SealedMessage
from callboard.ledger import seal
from callboard.operations import Who, letters
from tests.board import open_board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.board import Board

SECRET = "hunter2-and-more"


def key() -> str:
    return b64encode(os.urandom(32)).decode()


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str) -> Iterator[Board]:
    with open_board(monkeypatch, postgres_url, broker_url, secret_keys=key()) as board:
        yield board


def payloads(board: Board, table: str) -> list[bytes]:
    return [bytes(row.payload) for row in board.query(f"select payload from board.{table} where payload is not null")]


def test_what_is_sealed_is_opened_again_and_only_with_its_key(sealed: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    del sealed
    kept = seal.seal(b'{"password": "x"}')
    assert b"password" not in kept
    assert seal.unseal(kept) == b'{"password": "x"}'
    assert seal.seal(kept) == kept
    assert seal.seal(b'{"password": "x"}') != kept
    with pytest.raises(SealedMessage, match="was changed since"):
        seal.unseal(kept[:-1] + bytes([kept[-1] ^ 1]))
    old = get_settings().secret_keys
    newer = get_settings().model_copy(update={"secret_keys": (SecretStr(key()), *old)})
    monkeypatch.setattr(seal, "get_settings", lambda: newer)
    assert seal.unseal(kept) == b'{"password": "x"}'
    assert seal.seal(b"{}")[4:8] != kept[4:8]
    monkeypatch.setattr(seal, "get_settings", lambda: newer.model_copy(update={"secret_keys": newer.secret_keys[:1]}))
    with pytest.raises(SealedMessage, match="CALLBOARD_SECRET_KEYS"):
        seal.unseal(kept)


def test_a_dead_letter_and_a_pending_run_are_sealed_and_replayed(sealed: Board) -> None:
    seen: list[str] = []
    broken = {"yes": True}

    @job("lock", durable=True)
    def lock(password: str) -> None:
        seen.append(password)
        if broken["yes"]:
            raise PermanentError("no")

    lock.send(password=SECRET)
    assert [SECRET.encode() in payload for payload in payloads(sealed, "runs")] == [False]
    with sealed.worker():
        letter = eventually(lambda: sealed.one("select max(id) from board.dead_letters"))
        assert [SECRET.encode() in payload for payload in payloads(sealed, "dead_letters")] == [False]
        broken["yes"] = False
        letters.replay(letter, who=Who("cli:anna"))
        eventually(lambda: seen == [SECRET, SECRET])


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "new"
    settings = Settings(home=home)
    assert not seal.is_sealing(settings)
    seal.make_key_file(home)
    first = (home / seal.KEY_FILE).read_bytes()
    seal.make_key_file(home)
    assert (home / seal.KEY_FILE).read_bytes() == first
    assert (home / seal.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert seal.is_sealing(settings)


def test_a_key_that_is_none_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", f"{key()},{SECRET}")
    with pytest.raises(ValidationError, match="key 2 is not 32 bytes in base64"):
        Settings()
