"""Passwords, with the real parameters; and that nothing else needs what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from callboard.accounts import _passwords
from callboard.errors import Invalid, Unsupported


def test_a_password_fits_its_own_hash_alone() -> None:
    known = _passwords.hashed("correct horse é")
    assert known.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert _passwords.fits(known, "correct horse e\u0301")  # composed otherwise, by another keyboard
    assert not _passwords.fits(known, "correct horse e")
    assert not _passwords.outdated(known)


def test_nobody_fits_even_with_the_words_that_nobodys_hash_is_made_of() -> None:
    assert not _passwords.fits(None, "the password of nobody")
    assert not _passwords.fits("no hash at all", "the password of nobody")


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
def test_length_is_bounded(password: str) -> None:
    with pytest.raises(Invalid, match=f"has {len(password)} characters; it needs 12 to 1024") as refused:
        _passwords.hashed(password)
    assert refused.value.field == "password"
    assert "eleven char" not in str(refused.value)


def test_without_argon2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argon2", None)
    _passwords.hasher.cache_clear()
    with pytest.raises(Unsupported, match=r"pip install 'callboard\[console\]'"):
        _passwords.hashed("long enough for this")
    _passwords.hasher.cache_clear()


def test_accounts_are_imported_without_the_extra() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['argon2', 'fastapi', 'starlette', 'jinja2', 'multipart']));"
        "import callboard.operations.accounts"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
