"""Settings: read from the environment when asked for, refused with the field and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from callboard.settings import Settings


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ACTORS", "actors.memory, acme.jobs,")
    assert Settings().actors == ("actors.memory", "acme.jobs")


def test_the_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLBOARD_HOME", "board")
    assert Settings().home == tmp_path / "board"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LEASE_SECONDS", "5", "must be at least three times heartbeat_seconds=2.0"),
        ("WORKER_THREADS", "0", "worker_threads"),
        ("LOG_FORMAT", "xml", "log_format"),
        ("EXPORTER_PORT", "70000", "exporter_port"),
    ],
)
def test_a_wrong_value_names_its_field(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(f"CALLBOARD_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert told in str(caught.value)
