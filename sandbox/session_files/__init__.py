"""Session files of four AI command-line tools, made up: the same seed writes the same bytes.

`write_sessions` lays out the folders of Claude Code, Codex, OpenCode and Gemini below one folder; `write_bad_files`
adds damaged ones. `python -m sandbox.session_files DIR --sessions 40 --messages 4000` does it from a shell.
"""

from __future__ import annotations

from sandbox.session_files._bad import BadFiles, claude_line, shrink, write_bad_files, write_oversized_line
from sandbox.session_files._write import DEFAULT_MIX, EPOCH, Plan, Written, environment, folders, write_sessions

__all__ = [
    "DEFAULT_MIX",
    "EPOCH",
    "BadFiles",
    "Plan",
    "Written",
    "claude_line",
    "environment",
    "folders",
    "shrink",
    "write_bad_files",
    "write_oversized_line",
    "write_sessions",
]
