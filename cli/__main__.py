"""`python -m cli` is `callboard`, for child processes and for where scripts are not on the PATH."""

from __future__ import annotations

from cli import main

main()
