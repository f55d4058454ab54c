"""The programs of Prometheus and Alertmanager that the tests run."""

from __future__ import annotations

import shutil

from tests.support import missing

_PACKAGES = {"promtool": "prometheus", "prometheus": "prometheus"}


def program(name: str) -> str:
    """Its path; the test is skipped without it, and fails in CI."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name}, of the Debian package `{_PACKAGES.get(name, 'prometheus-alertmanager')}`,")
    return path
