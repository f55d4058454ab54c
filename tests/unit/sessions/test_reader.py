from __future__ import annotations

import os
import tracemalloc
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sessions.reader import FileState, LineReader, Stamp, is_unchanged

if TYPE_CHECKING:
    from pathlib import Path

MAX_LINE = 20


def read_pass(
    content: bytes, state: FileState | None = None, *, inode: int = 1, settled: bool = False, chunk: int = 7
) -> tuple[list[bytes], FileState, int]:
    """One pass over a file of this content: its lines, the state after it, and how many lines were oversized."""
    reader = LineReader(BytesIO(content), Stamp(inode, len(content), len(content)), MAX_LINE, settled, chunk)
    parser = reader.resume(state)
    lines = list(reader)
    return lines, reader.state(parser, done=True), reader.oversized


lines_of_a_file = st.lists(
    st.binary(max_size=3 * MAX_LINE).map(lambda line: line.replace(b"\n", b"")) | st.sampled_from([b"", b" ", b"\r"]),
    max_size=12,
)


@given(lines_of_a_file, st.sampled_from([b"", b"\n"]), st.data(), st.integers(1, 64))
def test_any_split_of_appends_into_passes_reads_the_same(
    lines: list[bytes], end: bytes, data: st.DataObject, chunk: int
) -> None:
    content = b"\n".join(lines) + end
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    whole = read_pass(content)

    state, seen, oversized = None, [], 0
    for cut in [*cuts, len(content)]:
        found, state, count = read_pass(content[:cut], state, chunk=chunk)
        seen += found
        oversized += count

    assert (seen, state, oversized) == whole


@given(lines_of_a_file)
def test_one_pass_yields_every_whole_line_that_is_neither_blank_nor_oversized(lines: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in lines) + b"torn"
    found, state, oversized = read_pass(content)
    assert found == [line for line in lines if line.strip() and len(line) <= MAX_LINE]
    assert oversized == sum(len(line) > MAX_LINE for line in lines)
    assert state.offset == len(content) - len(b"torn")


@given(lines_of_a_file, st.integers(0, 11))
def test_a_state_taken_in_mid_file_leads_on_to_the_rest(lines: list[bytes], stop_after: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    reader = LineReader(BytesIO(content), Stamp(1, len(content), 5), MAX_LINE, chunk=16)
    seen, state = [], None
    for line in reader:
        seen.append(line)
        if len(seen) > stop_after:
            state = reader.state()
            break
    assert seen + (read_pass(content, state)[0] if state else []) == read_pass(content)[0]


def test_a_torn_last_line_waits_until_it_is_whole() -> None:
    first, state, _ = read_pass(b"one\ntw")
    second, _, _ = read_pass(b"one\ntwo\n", state)
    assert (first, second) == ([b"one"], [b"two"])


def test_a_settled_file_gives_its_last_line_without_a_newline() -> None:
    _, state, _ = read_pass(b"one\ntwo")
    lines, settled, _ = read_pass(b"one\ntwo", state, settled=True)
    assert lines == [b"two"]
    assert settled.offset == len(b"one\ntwo")
    assert read_pass(b"one\ntwo\nthree\n", settled)[0] == [b"three"]


def test_a_file_that_shrank_is_read_from_its_start() -> None:
    _, state, _ = read_pass(b"one\ntwo\nthree\n")
    assert read_pass(b"four\n", state)[0] == [b"four"]


def test_another_inode_is_read_from_its_start() -> None:
    _, state, _ = read_pass(b"one\n")
    assert read_pass(b"one\ntwo\n", state, inode=2)[0] == [b"one", b"two"]


def test_a_file_rewritten_in_place_and_longer_is_read_from_its_start() -> None:
    _, state, _ = read_pass(b"one\ntwo\n")
    reader = LineReader(BytesIO(b"uno\ndos\ntres\n"), Stamp(1, 13, 9), MAX_LINE)
    reader.resume(state)
    assert list(reader) == [b"uno", b"dos", b"tres"]
    assert reader.restarted


def test_bytes_written_after_the_listing_wait_for_the_next_pass() -> None:
    reader = LineReader(BytesIO(b"one\ntwo\nthree\n"), Stamp(1, 6, 9), MAX_LINE)
    assert list(reader) == [b"one"]
    assert reader.offset == len(b"one\n")


def test_a_file_cut_while_it_is_read_ends_the_pass() -> None:
    reader = LineReader(BytesIO(b"one\n"), Stamp(1, 400, 9), MAX_LINE)
    assert list(reader) == [b"one"]


def test_the_parsers_state_travels_with_the_offset() -> None:
    reader = LineReader(BytesIO(b"one\n"), Stamp(1, 4, 9), MAX_LINE)
    state = FileState(Stamp(1, 0, 0), parser='{"session":"s"}')
    assert reader.resume(state) == '{"session":"s"}'
    assert reader.resume(state._replace(offset=99)) == ""


@pytest.mark.parametrize(
    ("offset", "settled", "unchanged"),
    [(10, False, True), (10, True, True), (6, False, True), (6, True, False)],
    ids=["read to its end", "the same, settled", "torn but young", "torn and settled"],
)
def test_an_unchanged_file_is_opened_only_for_a_settled_torn_line(
    *, offset: int, settled: bool, unchanged: bool
) -> None:
    stamp = Stamp(1, 10, 5)
    assert is_unchanged(FileState(stamp, offset), stamp, settled=settled) is unchanged


@pytest.mark.parametrize("stamp", [Stamp(2, 10, 5), Stamp(1, 11, 5), Stamp(1, 10, 6)], ids=["inode", "size", "mtime"])
def test_any_difference_in_the_stamp_is_a_change(stamp: Stamp) -> None:
    assert not is_unchanged(FileState(Stamp(1, 10, 5), 10), stamp, settled=False)


def test_a_file_never_seen_is_a_change() -> None:
    assert not is_unchanged(None, Stamp(1, 0, 0), settled=False)


def test_a_gigabyte_of_one_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # a hole: no disk is used
        file.seek(0, os.SEEK_END)
        file.write(b"\nafter\n")
    tracemalloc.start()
    with path.open("rb", buffering=0) as file:
        reader = LineReader(file, Stamp.of(path.stat()), 1 << 20)
        assert list(reader) == [b"after"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.oversized == 1
    assert peak < 4 << 20


def test_an_oversized_line_still_growing_is_not_read_again() -> None:
    content = b"x" * 50
    _, state, oversized = read_pass(content)
    assert (state.offset, state.skipping, oversized) == (50, True, 1)
    lines, state, oversized = read_pass(content + b"yy\nnext\n", state)
    assert (lines, state.skipping, oversized) == ([b"next"], False, 0)


def test_inodes_beyond_a_bigint_are_folded(tmp_path: Path) -> None:
    stat = tmp_path.stat()
    assert Stamp.of(stat) == Stamp(stat.st_ino, stat.st_size, stat.st_mtime_ns)
    wide = os.stat_result((0, 2**64 - 1, *[0] * 8))
    assert 0 <= Stamp.of(wide).inode < 2**63
