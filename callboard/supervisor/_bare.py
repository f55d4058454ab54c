"""Runs the supervisor in a process that does without `callboard/__init__`, and so without all that jobs need.

That is about 60 MB and half a second less. `callboard worker` checks the settings, then becomes
`python -I -S <this file> <plan>`. What is imported below needs the standard library alone.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType


def _main() -> None:
    here = os.path.abspath(__file__)  # noqa: PTH100 (pathlib is not needed elsewhere at the start)
    root = os.path.dirname(os.path.dirname(os.path.dirname(here)))  # noqa: PTH120 (the same)
    sys.path.insert(0, root)
    package = ModuleType("callboard")
    package.__path__ = [os.path.join(root, "callboard")]  # noqa: PTH118 (the same)
    sys.modules["callboard"] = package
    from callboard.supervisor.process import main  # noqa: PLC0415 - found only now

    main(sys.argv[1:])


if __name__ == "__main__":
    _main()
