"""The command line over the API, and beside it, here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli import execute

if TYPE_CHECKING:
    import pytest

SCOPES = ("jobs:read", "jobs:write", "accounts:write")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        assert self.code == 0, self.err + self.out
        return json.loads(self.out)


@dataclass
class Line:
    """The command line, here or over the API."""

    capsys: pytest.CaptureFixture[str]
    url: str
    key: str

    def here(self, *argv: str) -> Answer:
        self.capsys.readouterr()
        code = execute(argv)
        said = self.capsys.readouterr()
        assert self.key not in said.out + said.err
        return Answer(code, said.out, said.err)

    def far(self, *argv: str) -> Answer:
        return self.here("--api", self.url, "--key", self.key, *argv)
