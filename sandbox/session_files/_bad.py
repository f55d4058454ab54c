"""Damaged files, as crashes, full disks and other programs leave them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.session_files._write import folders

if TYPE_CHECKING:
    from pathlib import Path

_PROJECT = "-home-dev-projects-broken"


@dataclass(frozen=True)
class BadFiles:
    """The damaged files by their damage, and how many sound messages lie between the damage."""

    torn: Path
    bad_utf8: Path
    oversized: Path
    garbage: Path
    nul: Path
    torn_document: Path
    messages: int


def claude_line(session: str, number: int, text: str) -> bytes:
    """One sound line of a Claude Code session, without its newline; equal arguments give equal bytes."""
    line = {
        "parentUuid": None,
        "cwd": "/home/dev/projects/broken",
        "sessionId": session,
        "type": "user",
        "message": {"role": "user", "content": text},
        "uuid": f"{session[:24]}{number:012x}",
        "timestamp": f"2026-01-05T10:{number // 60 % 60:02d}:{number % 60:02d}.000Z",
    }
    return json.dumps(line, separators=(",", ":")).encode()


def shrink(path: Path, size: int) -> None:
    """Cut the file to its first `size` bytes, as a tool does that rewrites its history."""
    with path.open("r+b") as file:
        file.truncate(size)


def write_oversized_line(path: Path, size: int) -> None:
    """Append one line of `size` bytes, in pieces: it never lies in memory whole."""
    piece = b"x" * min(size, 1 << 20)
    with path.open("ab") as file:
        file.write(b'{"type":"user","message":{"role":"user","content":"')
        for left in range(size, 0, -len(piece)):
            file.write(piece[:left])
        file.write(b'"}}\n')


def write_bad_files(root: Path, *, oversized_bytes: int = 16 << 20) -> BadFiles:
    """Write one file of each damage below `root`, beside what `write_sessions` writes there."""
    project = folders(root)["claude"] / _PROJECT
    project.mkdir(parents=True, exist_ok=True)
    chats = folders(root)["gemini"] / "deadbeef" / "chats"
    chats.mkdir(parents=True, exist_ok=True)
    bad = BadFiles(
        torn=_file(project, 1, [_line(1, 1), _line(1, 2), _line(1, 3)[:60]], end=b""),
        bad_utf8=_file(project, 2, [_line(2, 1), b'{"type":"user","text":"\xff\xfe"}', _line(2, 2)]),
        oversized=_file(project, 3, [_line(3, 1)]),
        garbage=_file(project, 4, [_line(4, 1), b"\x00" * 64, b"not json", b"[1,2]", b"{}", b"", _line(4, 2)]),
        nul=_file(project, 5, [claude_line(_session(5), 1, "before\x00after"), _surrogate(5)]),
        torn_document=chats / "session-2026-01-05T09-00-deadbeef.json",
        messages=10,
    )
    write_oversized_line(bad.oversized, oversized_bytes)
    with bad.oversized.open("ab") as file:
        file.write(_line(3, 2) + b"\n")
    bad.torn_document.write_bytes(b'{"sessionId": "deadbeef", "messages": [{"id": "1", "type": "us')
    return bad


def _session(number: int) -> str:
    return f"bad00000-0000-4000-a000-{number:012x}"


def _line(session: int, number: int) -> bytes:
    return claude_line(f"bad{session:05x}-0000-4000-a000-{session:012x}", number, f"sound line {number}")


def _surrogate(session: int) -> bytes:
    """Half a character, as JavaScript writes when it cuts a string in the middle of an emoji."""
    return claude_line(_session(session), 2, "cut HERE").replace(b"HERE", b"\\ud83d")


def _file(project: Path, number: int, lines: list[bytes], end: bytes = b"\n") -> Path:
    path = project / f"{_session(number)}.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    return path
