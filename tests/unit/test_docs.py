"""What the documents promise: their examples run, and their tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import callboard
from callboard.spec import OPTIONS
from callboard.testing import MemoryBroker

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTS = ["README.md", "docs/jobs.md"]


def blocks(name: str) -> list[str]:
    return BLOCK.findall((ROOT / name).read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_examples_run(name: str, callboard_broker: MemoryBroker) -> None:
    assert blocks(name), f"{name} has no example"
    others = set(callboard_broker.actors)
    for block in blocks(name):
        names: dict[str, object] = {"__name__": "example"}
        exec(compile(block, name, "exec"), names)  # noqa: S102 - the document's own example
        for label, found in list(names.items()):
            if label.startswith("test_") and callable(found):
                found(callboard_broker)
    for actor in [actor for actor_name, actor in callboard_broker.actors.items() if actor_name not in others]:
        if "periodic" in actor.options:
            actor.send()
    assert {run.state for run in callboard_broker.drain()} == {"completed"}


def test_every_option_of_a_job_is_in_the_table() -> None:
    text = (ROOT / "docs/jobs.md").read_text()
    table = text[text.index("| option |") : text.index("## Inside a job")]
    cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", cells)) == set(OPTIONS)


def test_all_public_names_are_listed_and_exist() -> None:
    listed = callboard.__all__
    assert len(listed) == len(set(listed))
    modules = {"arguments", "broker", "cadence", "cancel", "children", "dispatch", "embedded", "envelope", "errors"}
    public = {name for name in vars(callboard) if not name.startswith("_") and name != "annotations"}
    public -= {name for name in public if type(getattr(callboard, name)).__name__ == "module"}
    assert (public - modules) | {"outbox"} == set(listed)  # the one module that is called by its name
