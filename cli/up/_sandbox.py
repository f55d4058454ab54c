"""What stands in for the outside world where there is none: sample data, and stand-ins for outside systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli._samples import remember
from cli.up._sample_company import SampleCompany
from cli.up._sample_sessions import SampleSessions

if TYPE_CHECKING:
    from callboard.settings import Settings
    from cli.up._stand_ins import StandInProcess


class Sandbox:
    """Decides which samples are needed, makes them, and says so; `environment` is what the children must be told."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "sandbox"
        self._samples = (SampleSessions(settings), SampleCompany(settings))

    def prepare(self, *, always: bool = False) -> list[str]:
        """Make what is needed, or all of it; returns what people should know."""
        notes = [note for each in self._samples for note in each.prepare(always=always)]
        remember(self.folder, self.environment)
        return notes

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead to the samples."""
        return {name: value for each in self._samples for name, value in each.environment.items()}

    @property
    def stand_ins(self) -> list[StandInProcess]:
        """What is to be started."""
        return [one for each in self._samples for one in each.stand_ins]
