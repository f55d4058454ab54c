"""Loading actor modules: every way it can fail says how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard import DeclarationError, NotFound, get_job
from callboard.loading import load_actors, load_module
from callboard.settings import Settings

pytestmark = pytest.mark.usefixtures("callboard_broker")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "acme_jobs"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_jobs"]:
        del sys.modules[name]


def test_all_modules_of_a_package_are_loaded(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "nightly.py").write_text("from callboard import job\n@job('acme_nightly')\ndef nightly(): ...\n")
    (package / "_hidden.py").write_text("raise RuntimeError('never imported')\n")
    monkeypatch.setenv("CALLBOARD_ACTORS", "acme_jobs")
    assert "acme_nightly" in load_actors(Settings())
    with pytest.raises(NotFound, match="did you mean acme_nightly"):
        get_job("acme_nightli")


def test_a_module_in_the_current_folder_is_found_after_what_is_installed(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "here.py").write_text("from callboard import job\njob('acme_here')(print)\n")
    (package.parent / "json.py").write_text("raise RuntimeError('hides the standard library')\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(package.parent)])
    monkeypatch.chdir(package.parent)
    load_module("acme_jobs")
    assert get_job("acme_here").spec.name == "acme_here"
    assert sys.path[-1] == str(package.parent)


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("acme_jobs.missing", None, "'acme_jobs.missing' does not exist; correct CALLBOARD_ACTORS"),
        ("acme_jobs.needs", "import no_such_library\n", "needs the module 'no_such_library'; install it"),
        (
            "acme_jobs.broken",
            "\n1 / 0\n",
            "cannot be imported: ZeroDivisionError: division by zero (broken.py, line 2)",
        ),
        ("acme_jobs.wrong", "from callboard import job\njob('x', queu='y')(print)\n", "did you mean 'queue'"),
    ],
)
def test_a_module_that_cannot_be_loaded_says_why(package: Path, name: str, code: str | None, told: str) -> None:
    if code is not None:
        (package / f"{name.rpartition('.')[2]}.py").write_text(code)
    with pytest.raises(DeclarationError) as caught:
        load_module(name)
    assert told in str(caught.value)
