"""What every job of every peer does: one 24-byte append to one file. Imports nothing but the standard library.

A record is (start time, tag, process id); the time is CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import os
import struct
import time

RECORD = struct.Struct("<dqq")
NAP_SECONDS = 0.005

_descriptor = -1


def mark(tag: int) -> None:
    """Append one record to the file that BENCH_COUNTER names; forked processes share the open file."""
    global _descriptor  # noqa: PLW0603 - opened once in a process, as cheaply as it goes
    if _descriptor < 0:
        _descriptor = os.open(os.environ["BENCH_COUNTER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_descriptor, RECORD.pack(time.monotonic(), tag, os.getpid()))
